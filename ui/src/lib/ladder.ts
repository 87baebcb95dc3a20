import type { Bid } from "./api";

export interface Step { price: number; from: number; to: number }

/** The bid as steps from the dearest band down, with the span of output that they cover; zero is always inside it. */
export function ladder(bid: Bid): { rows: Step[]; low: number; high: number } {
  const rows: Step[] = [];
  let output = bid.base_mw;
  for (const band of bid.bands) {
    rows.push({ price: band.price_per_mwh, from: output, to: output + band.quantity_mw });
    output += band.quantity_mw;
  }
  const [low, high] = [Math.min(0, bid.base_mw), Math.max(0, output)];
  return { rows: rows.reverse(), low, high };
}
