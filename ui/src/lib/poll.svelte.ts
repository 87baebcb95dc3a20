/** A value fetched now, again every `periodMs`, and at once when what `ask` reads changes. Nothing is asked of a hidden page. */
export class Poll<T> {
  value = $state.raw<T | null>(null);
  error = $state<string | null>(null);
  #asked = 0;
  #ask: () => Promise<T>;

  constructor(ask: () => Promise<T>, periodMs: number) {
    this.#ask = ask;
    $effect(() => {
      const run = (): void => void this.#run(ask);
      run();
      const timer = setInterval(() => document.visibilityState === "visible" && run(), periodMs);
      return () => clearInterval(timer);
    });
  }

  /** Ask now, because something was done. */
  async again(): Promise<void> {
    await this.#run(this.#ask);
  }

  async #run(ask: () => Promise<T>): Promise<void> {
    const asked = ++this.#asked;
    try {
      const value = await ask();
      if (asked !== this.#asked) return;
      this.value = value;
      this.error = null;
    } catch (error) {
      if (asked === this.#asked) this.error = error instanceof Error ? error.message : String(error);
    }
  }
}
