"""The registry's database: who is enrolled, for as many API processes as write to it.

A shell: SQLAlchemy over an embedded SQLite file or PostgreSQL. What an enrolment does is for `domain.enrolment` to say;
here it is decided under a partition's lock, kept with its event, and the events are sent on to the log's topic, which
gateways and twins follow.
"""
