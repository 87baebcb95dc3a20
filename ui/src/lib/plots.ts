import uPlot from "uplot";
import { hoursMinutes, number } from "./format";

export const SYNC = "plant";

/** What the page lets a plot know and what the plot tells the page. */
export interface Stage {
  offsetMinutes: () => number;
  minutes: () => number;
  end: () => number;
  onCursor: (row: number | null) => void;
}

/** A colour of the theme, read when drawn, so that a change of theme needs no new plot. */
export function ink(name: string): () => string {
  return () => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

const FONT = "11px system-ui, sans-serif";

function line(label: string, colour: string, more: Partial<uPlot.Series> = {}): uPlot.Series {
  return { label, stroke: ink(colour), width: 1.75, points: { show: false }, spanGaps: false, ...more };
}

function base(stage: Stage, showTimes: boolean): Omit<uPlot.Options, "width" | "height" | "series"> {
  const grid = { stroke: ink("grid"), width: 1 };
  return {
    legend: { show: false },
    padding: [8, 14, showTimes ? 0 : 4, 0],
    tzDate: (seconds) => uPlot.tzDate(new Date((seconds + stage.offsetMinutes() * 60) * 1000), "Etc/UTC"),
    cursor: { sync: { key: SYNC, scales: ["x", null] }, y: false, drag: { x: false, y: false }, points: { size: 7 } },
    scales: { x: { time: true, range: () => [stage.end() - stage.minutes() * 60, stage.end()] } },
    axes: [
      {
        show: true, stroke: ink("muted"), font: FONT, grid, ticks: { show: false }, gap: 6, size: showTimes ? 26 : 6, space: 64,
        values: (_, times) => times.map((time) => (showTimes ? hoursMinutes(time * 1000, stage.offsetMinutes()) : "")),
      },
    ],
    hooks: {
      setCursor: [(plot) => stage.onCursor(plot.cursor.left != null && plot.cursor.left >= 0 ? (plot.cursor.idx ?? null) : null)],
    },
  };
}

function yAxis(digits: (range: number) => number, scale = 1, suffix = "", signed = false): uPlot.Axis {
  return {
    stroke: ink("muted"), font: FONT, size: 52, gap: 6, ticks: { show: false }, space: 30,
    grid: { stroke: ink("grid"), width: 1 },
    values: (_, values) => {
      const step = Math.abs((values[1] ?? 1) - (values[0] ?? 0)) || 1;
      return values.map((value) => `${number(value * scale, digits(step), signed)}${suffix}`);
    },
  };
}

/** As many decimals as the step between two marks has, so that 0.25 is not written 0.3. */
const stepDigits = (step: number): number =>
  [0, 1, 2].find((digits) => Math.abs(step * 10 ** digits - Math.round(step * 10 ** digits)) < 1e-6) ?? 3;

/** The line where export turns into import, and a dot at the newest delivered value. */
function marks(plot: uPlot): void {
  const { ctx, bbox } = plot;
  const zero = Math.round(plot.valToPos(0, "y", true)) + 0.5;
  ctx.save();
  if (zero > bbox.top && zero < bbox.top + bbox.height) {
    ctx.strokeStyle = ink("zero")();
    ctx.lineWidth = devicePixelRatio;
    ctx.beginPath();
    ctx.moveTo(bbox.left, zero);
    ctx.lineTo(bbox.left + bbox.width, zero);
    ctx.stroke();
  }
  const time = plot.data[0].at(-1);
  const value = plot.data[4]?.at(-1);
  if (time !== undefined && value != null) {
    const [x, y] = [plot.valToPos(time, "x", true), plot.valToPos(value, "y", true)];
    ctx.fillStyle = ink("delivered")();
    ctx.beginPath();
    ctx.arc(x, y, 3.5 * devicePixelRatio, 0, 2 * Math.PI);
    ctx.fill();
  }
  ctx.restore();
}

function around(low: number, high: number, least: number): uPlot.Range.MinMax {
  const [from, to] = [Math.min(low, 0), Math.max(high, 0)];
  const room = Math.max((to - from) * 0.06, least);
  return [from - (from < 0 ? room : 0), to + room];
}

const stepped = uPlot.paths.stepped?.({ align: 1 });

/** x, low, high, target, delivered. */
export function outputPlot(stage: Stage): Omit<uPlot.Options, "width" | "height"> {
  const common = base(stage, false);
  return {
    ...common,
    scales: { ...common.scales, y: { range: (_, low, high) => around(low ?? 0, high ?? 1, 0.002) } },
    series: [
      {},
      line("Available from", "band-edge", { width: 1 }),
      line("Available to", "band-edge", { width: 1 }),
      line("Target", "target", { width: 2, ...(stepped ? { paths: stepped } : {}) }),
      line("Delivered", "delivered", { width: 2 }),
    ],
    bands: [{ series: [2, 1], fill: ink("band") }],
    axes: [...(common.axes ?? []), yAxis(stepDigits, 1, "", true)],
    hooks: { ...common.hooks, draw: [marks] },
  };
}

/** x, spot. */
export function pricePlot(stage: Stage): Omit<uPlot.Options, "width" | "height"> {
  const common = base(stage, false);
  return {
    ...common,
    scales: { ...common.scales, y: { range: (_, low, high) => around(low ?? 0, high ?? 100, 1) } },
    series: [{}, line("Spot", "price", { fill: ink("price-fill"), ...(stepped ? { paths: stepped } : {}) })],
    axes: [...(common.axes ?? []), yAxis(stepDigits)],
  };
}

/** x, state of charge, coverage. */
export function ratioPlot(stage: Stage): Omit<uPlot.Options, "width" | "height"> {
  const common = base(stage, true);
  return {
    ...common,
    scales: { ...common.scales, y: { range: () => [0, 1.03] } },
    series: [{}, line("State of charge", "soc", { fill: ink("soc-fill") }), line("Coverage", "coverage", { width: 1.25, dash: [4, 3] })],
    axes: [...(common.axes ?? []), { ...yAxis(() => 0, 100, "%"), splits: () => [0, 0.5, 1] }],
  };
}
