import { api, type History, type Num, type State } from "./api";

const MOST_POINTS = 1500;
/** Rows further apart than this many turns have an outage between them; a turn is a second of the wall, `speed` s of the plant. */
const GAP_TURNS = 5;

/** Columns as uPlot wants them: x in seconds, then one column per line. */
export interface Columns {
  x: number[];
  target: Num[];
  delivered: Num[];
  low: Num[];
  high: Num[];
  soc: Num[];
  coverage: Num[];
  spot: Num[];
}

function sum(a: Num | undefined, b: Num | undefined, sign: 1 | -1): Num {
  return a == null || b == null ? null : a + sign * b;
}

/** Seconds between two rows from which on what lies between is unknown; thinned rows are further apart than turns. */
function gapSeconds(x: number[], speed: number): number {
  const spacings = x.slice(1).map((time, row) => time - (x[row] ?? time));
  spacings.sort((a, b) => a - b);
  return GAP_TURNS * Math.max(speed, spacings[(spacings.length - 1) >> 1] ?? 0);
}

/** The columns with a row of nulls in each outage, so that no line crosses it. */
function withGaps(columns: Columns, speed: number): Columns {
  const { x } = columns;
  const apart = gapSeconds(x, speed);
  const made = {} as Record<keyof Columns, Num[]>;
  for (const name of Object.keys(columns) as (keyof Columns)[]) {
    made[name] = columns[name].flatMap((value, row) => {
      const [before, time] = [x[row - 1], x[row]];
      if (before === undefined || time === undefined || time - before <= apart) return [value];
      return [name === "x" ? (before + time) / 2 : null, value];
    });
  }
  return made as Columns;
}

export function fromHistory(past: History, speed: number): Columns {
  const columns = {
    x: past.time_us.map((time) => time / 1e6),
    target: past.target_mw,
    delivered: past.delivered_mw,
    low: past.delivered_mw.map((value, row) => sum(value, past.down_mw[row], -1)),
    high: past.delivered_mw.map((value, row) => sum(value, past.up_mw[row], 1)),
    soc: past.soc_ratio,
    coverage: past.coverage_ratio,
    spot: past.spot_per_mwh,
  };
  return withGaps(columns, speed);
}

function rowOf(state: State): Record<keyof Columns, Num> {
  const { output, battery, coverage, price } = state;
  return {
    x: Date.parse(state.time) / 1000,
    target: output.target_mw,
    delivered: output.delivered_mw,
    low: sum(output.delivered_mw, output.down_mw, -1),
    high: sum(output.delivered_mw, output.up_mw, 1),
    soc: battery.soc_ratio,
    coverage: coverage.ratio,
    spot: price.spot_per_mwh,
  };
}

/** The columns with the state at their end, after a row of nulls if there was an outage, thinned to the window's resolution and cut. */
export function append(columns: Columns, state: State, minutes: number): Columns {
  const row = rowOf(state);
  const time = row.x ?? 0;
  const before = columns.x.at(-2);
  const last = columns.x.at(-1);
  const gap = last !== undefined && time - last > gapSeconds(columns.x, state.speed);
  const replace = !gap && before !== undefined && time - before < (minutes * 60) / MOST_POINTS;
  const first = columns.x.findIndex((x) => x >= time - minutes * 60 - 60);
  const end = columns.x.length - (replace ? 1 : 0);
  const made = {} as Record<keyof Columns, Num[]>;
  for (const name of Object.keys(row) as (keyof Columns)[]) {
    const nulls = gap ? [name === "x" ? (last + time) / 2 : null] : [];
    made[name] = [...columns[name].slice(first < 0 ? end : first, end), ...nulls, row[name]];
  }
  return made as Columns;
}

/** The chart's past: loaded once per window, then grown by each live state. */
export class Past {
  columns = $state.raw<Columns | null>(null);
  error = $state<string | null>(null);
  minutes = $state(60);
  #asked = 0;

  async load(speed: number): Promise<void> {
    const asked = ++this.#asked;
    try {
      const past = fromHistory(await api.history(this.minutes), speed);
      if (asked !== this.#asked) return;
      this.columns = past;
      this.error = null;
    } catch (error) {
      if (asked === this.#asked) this.error = error instanceof Error ? error.message : String(error);
    }
  }

  push(state: State): void {
    const time = Date.parse(state.time) / 1000;
    const last = this.columns?.x.at(-1);
    if (!this.columns || last === time) return;
    if (last !== undefined && time < last) void this.load(state.speed);
    else this.columns = append(this.columns, state, this.minutes);
  }
}
