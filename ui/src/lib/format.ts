// Numbers and times as text. Unknown is "–", minus is a real minus, and digits are fixed so that nothing jumps.
export const UNKNOWN = "–";

const formats = new Map<string, Intl.NumberFormat>();

function format(digits: number, signed: boolean): Intl.NumberFormat {
  const key = `${digits}${signed}`;
  let made = formats.get(key);
  if (!made) {
    const fixed = { minimumFractionDigits: digits, maximumFractionDigits: digits };
    made = new Intl.NumberFormat("en-AU", { ...fixed, signDisplay: signed ? "exceptZero" : "negative" });
    formats.set(key, made);
  }
  return made;
}

export function known(value: number | null | undefined): value is number {
  return typeof value === "number" && Number.isFinite(value);
}

export function number(value: number | null | undefined, digits = 0, signed = false): string {
  return known(value) ? format(digits, signed).format(value).replace("-", "−") : UNKNOWN;
}

export function percent(ratio: number | null | undefined, digits = 0): string {
  return known(ratio) ? `${number(ratio * 100, digits)}%` : UNKNOWN;
}

/** Money with its sign before the currency, −A$12.30; from ten thousand on without cents, so that it keeps its room. */
export function money(value: number | null | undefined, currency: string): string {
  if (!known(value)) return UNKNOWN;
  const size = Math.abs(value);
  return `${value < 0 ? "−" : ""}${currency}${number(size, size < 10_000 ? 2 : 0)}`;
}

/** A market price: cents below a thousand, whole units from there to the cap. */
export function price(perMwh: number | null | undefined): string {
  return number(perMwh, known(perMwh) && Math.abs(perMwh) >= 1000 ? 0 : 2);
}

/** Decimals that show a thousandth of the plant's range or so: small fleets get kW steps, large ones fewer digits. */
export function mwDigits(rangeMw: number | null): number {
  if (!known(rangeMw)) return 2;
  return rangeMw < 2 ? 3 : rangeMw < 200 ? 2 : 1;
}

/** A date whose UTC fields read as local time at the plant. */
export function atPlant(time: string | number, offsetMinutes: number): Date {
  return new Date((typeof time === "number" ? time : Date.parse(time)) + offsetMinutes * 60_000);
}

export function hoursMinutes(time: string | number, offsetMinutes: number): string {
  return atPlant(time, offsetMinutes).toISOString().slice(11, 16);
}

export function clock(time: string, offsetMinutes: number): string {
  return atPlant(time, offsetMinutes).toISOString().slice(11, 19);
}

export function day(time: string, offsetMinutes: number): string {
  const style = { weekday: "short", day: "numeric", month: "short", year: "numeric", timeZone: "UTC" } as const;
  return new Intl.DateTimeFormat("en-AU", style).format(atPlant(time, offsetMinutes));
}

export function utcOffset(minutes: number): string {
  const size = Math.abs(minutes);
  const hours = String(Math.floor(size / 60)).padStart(2, "0");
  return `UTC${minutes < 0 ? "−" : "+"}${hours}:${String(size % 60).padStart(2, "0")}`;
}

/** A group's or failure's kind and name as words: `provider:northnet` → "provider northnet". */
export function words(label: string): string {
  return label.replace(":", " ").replaceAll("%2F", "/").replaceAll("%3A", ":").replaceAll("%25", "%");
}

/** Hours with one decimal below ten. */
export function hours(value: number | null | undefined): string {
  return known(value) ? `${number(value, value < 10 ? 1 : 0)} h` : UNKNOWN;
}

export function duration(seconds: number | null): string {
  if (!known(seconds)) return UNKNOWN;
  if (seconds < 120) return `${number(seconds)} s`;
  return seconds < 7200 ? `${number(seconds / 60)} min` : `${number(seconds / 3600, 1)} h`;
}
