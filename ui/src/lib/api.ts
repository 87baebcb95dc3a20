// The API's JSON, by hand from src/powerflock/api/models.py: same names, same order. null is "unknown", never zero.
// *_mw, *_mwh, *_per_mwh: + = export to the grid. *_kw, *_kwh: + = into the site. Ratios are 0–1. Times are RFC 3339 UTC.
export type Num = number | null;
export type Phase = "recovering" | "waiting" | "running";
export type Freshness = "fresh" | "stale" | "silent";

export interface Output { target_mw: Num; delivered_mw: Num; up_mw: Num; down_mw: Num }
export interface Storage { stored_mwh: Num; capacity_mwh: Num; soc_ratio: Num }
export interface Coverage { fresh: number; stale: number; silent: number; ratio: Num }
export interface Price { spot_per_mwh: Num; clearing_per_kwh: Num }
export interface Band { price_per_mwh: number; quantity_mw: number }
export interface Bid { interval_start: string; bands: Band[]; base_mw: number; award_mw: Num }
export interface Account {
  intervals: Num; awarded_mwh: Num; delivered_mwh: Num;
  market_revenue: Num; earned: Num; owner_payments: Num; fleet_margin: Num; currency: string;
}
export type Severity = "critical" | "warning" | "notice";
export interface AlarmCounts { critical: number; warning: number; notice: number; unacknowledged: number }
export interface AlarmRow {
  id: string; rule: string; severity: Severity; kind: string; name: string; state: "active" | "cleared";
  since: string; seen: string; cleared: string | null; acknowledged: string | null; acknowledged_by: string | null;
  sites: number; of_sites: number; affected_kw: number; examples: string[]; sentence: string;
}
export interface Ring { readings_per_s: Num; tick_ms: Num; plan_ms: Num; log_entries: number; started: string }
export interface State {
  time: string; utc_offset_minutes: number; speed: number; simulated: boolean;
  price_source: string; generated_prices: boolean; phase: Phase;
  interval_start: string; interval_end: string; sites: number;
  output: Output; battery: Storage; coverage: Coverage; price: Price;
  bid: Bid | null; account: Account; alarms: AlarmCounts; ring: Ring;
}
export interface History {
  time_us: number[]; target_mw: Num[]; delivered_mw: Num[]; up_mw: Num[]; down_mw: Num[];
  soc_ratio: Num[]; coverage_ratio: Num[]; spot_per_mwh: Num[];
}
export type Link = "unknown" | "up" | "down";
export type Command = "none" | "waiting" | "unconfirmed" | "applied" | "refused" | "expired";
export interface SiteRow {
  site: string; feeder: string; region: string; freshness: Freshness; link: Link; reachable: boolean; command: Command;
  age_s: Num; power_kw: Num; battery_kw: Num; solar_kw: Num; load_kw: Num; soc_ratio: Num; up_kw: Num; down_kw: Num;
  desired_kw: Num; applied_kw: Num; deviation_kw: Num; unapplied_kw: Num;
}
export interface SitesQuery {
  limit: number; page_token: string | null; sort: string; search: string;
  freshness?: Freshness; link?: Link; command?: Command;
}
export interface SiteTimes { desired: string | null; expires: string | null; applied: string | null; metered: string | null }
export interface DeviceRow {
  device: string; kind: string; freshness: Freshness; reported: string | null; power_kw: Num; energy_kwh: Num;
}
export interface SitePage { sites: SiteRow[]; total: number; next_page_token: string | null }
export interface SiteDetail {
  now: SiteRow; stored_kwh: Num; capacity_kwh: Num; reserve_ratio: Num;
  tariff: string; import_per_kwh: Num; export_per_kwh: Num;
  setpoint_kw: Num; setpoint_price_per_kwh: Num; setpoint_expires: string | null;
  times: SiteTimes; devices: DeviceRow[]; why: string[];
}
export interface GroupRow {
  group: string; parent: string | null; level: "portfolio" | "region" | "area" | "feeder" | "set"; depth: number;
  sites: number; unreachable: number; power_kw: Num; std_kw: Num; stored_kwh: Num; capacity_kwh: Num;
  up_kw: Num; down_kw: Num; up_h: Num; down_h: Num; firm_up_kw: Num; firm_down_kw: Num; worst_failure: string | null;
  raise_kw: Num; lower_kw: Num; coverage: Coverage; coverage_kw_ratio: Num;
}
export interface AccountRow {
  interval_start: string; interval_end: string; awarded_mwh: Num; delivered_mwh: Num; spot_per_mwh: Num;
  market_revenue: Num; earned: Num; owner_payments: Num; fleet_margin: Num; currency: string;
}

const BASE = "/api/v1";
export const STREAM = `${BASE}/stream`;

async function get<T>(path: string, query: Record<string, string | number | null> = {}): Promise<T> {
  const given = Object.entries(query).filter(([, value]) => value !== null && value !== "");
  const search = new URLSearchParams(given.map(([name, value]): [string, string] => [name, String(value)]));
  return ask<T>(`${path}${given.length ? `?${search}` : ""}`, {});
}

async function ask<T>(path: string, options: RequestInit): Promise<T> {
  const answer = await fetch(`${BASE}${path}`, { ...options, signal: AbortSignal.timeout(10_000) });
  if (!answer.ok) {
    const problem = (await answer.json().catch(() => null)) as { detail?: string } | null;
    throw new Error(problem?.detail ?? `The server answered ${answer.status}.`);
  }
  return (await answer.json()) as T;
}

export const api = {
  history: (minutes: number) => get<History>("/history", { minutes }),
  groups: () => get<GroupRow[]>("/groups"),
  alarms: () => get<AlarmRow[]>("/alarms"),
  /** Say that `by` has seen an alarm; `key` is the plant's. */
  acknowledge: (alarm: string, by: string, key: string) =>
    ask<AlarmRow>(`/alarms/${encodeURIComponent(alarm)}/acknowledge`, {
      method: "POST", body: JSON.stringify({ by }), headers: { authorization: `Bearer ${key}` },
    }),
  accounts: (limit: number) => get<AccountRow[]>("/accounts", { limit }),
  site: (site: string) => get<SiteDetail>(`/sites/${encodeURIComponent(site)}`),
  sites: (query: SitesQuery) => get<SitePage>("/sites", { ...query }),
};
