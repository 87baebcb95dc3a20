import { api, type History, type Num, type State } from "./api";

const MOST_POINTS = 1500;

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

export function fromHistory(past: History): Columns {
  return {
    x: past.time_us.map((time) => time / 1e6),
    target: past.target_mw,
    delivered: past.delivered_mw,
    low: past.delivered_mw.map((value, row) => sum(value, past.down_mw[row], -1)),
    high: past.delivered_mw.map((value, row) => sum(value, past.up_mw[row], 1)),
    soc: past.soc_ratio,
    coverage: past.coverage_ratio,
    spot: past.spot_per_mwh,
  };
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

/** The columns with the state at their end, thinned to the window's resolution and cut to its length. */
export function append(columns: Columns, state: State, minutes: number): Columns {
  const row = rowOf(state);
  const time = row.x ?? 0;
  const before = columns.x.at(-2);
  const replace = before !== undefined && time - before < (minutes * 60) / MOST_POINTS;
  const first = columns.x.findIndex((x) => x >= time - minutes * 60 - 60);
  const end = columns.x.length - (replace ? 1 : 0);
  const made = {} as Record<keyof Columns, Num[]>;
  for (const name of Object.keys(row) as (keyof Columns)[]) {
    made[name] = [...columns[name].slice(first < 0 ? end : first, end), row[name]];
  }
  return made as Columns;
}

/** The chart's past: loaded once per window, then grown by each live state. */
export class Past {
  columns = $state.raw<Columns | null>(null);
  error = $state<string | null>(null);
  minutes = $state(60);
  #asked = 0;

  async load(): Promise<void> {
    const asked = ++this.#asked;
    try {
      const past = fromHistory(await api.history(this.minutes));
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
    if (last !== undefined && time < last) void this.load();
    else this.columns = append(this.columns, state, this.minutes);
  }
}
