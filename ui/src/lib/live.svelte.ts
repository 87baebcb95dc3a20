import { STREAM, type State } from "./api";

const STALE_AFTER_MS = 3500;
const REOPEN_AFTER_MS = 2000;

/** The newest state, and how long ago the plant's own clock last moved: a frozen plant is as stale as a dead link. */
export class Live {
  state = $state.raw<State | null>(null);
  ageMs = $state(0);
  stale = $derived(this.ageMs > STALE_AFTER_MS);
  #movedAt = performance.now();
  #source: EventSource | null = null;
  #closedAt = 0;

  /** Connect; returns what disconnects. */
  start(): () => void {
    this.#open();
    const timer = setInterval(() => this.#watch(), 500);
    return () => {
      clearInterval(timer);
      this.#source?.close();
    };
  }

  #open(): void {
    this.#source = new EventSource(STREAM);
    this.#source.onmessage = (event: MessageEvent<string>) => this.#take(JSON.parse(event.data) as State);
  }

  #take(next: State): void {
    if (next.time !== this.state?.time) {
      this.#movedAt = performance.now();
      this.ageMs = 0;
    }
    this.state = next;
  }

  #watch(): void {
    this.ageMs = performance.now() - this.#movedAt;
    if (this.#source?.readyState !== EventSource.CLOSED) this.#closedAt = 0;
    else if (this.#closedAt === 0) this.#closedAt = performance.now();
    else if (performance.now() - this.#closedAt > REOPEN_AFTER_MS) this.#open();
  }
}
