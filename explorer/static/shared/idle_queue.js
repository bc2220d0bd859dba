// Whose turn it is: the hand's first. Work that nobody waits for runs one piece at a time, while the hand is still.

export class Turns {
  #waiting = [];
  #running = false;
  #moved = -Infinity;

  /** `quiet`: how long, in ms, the hand must have been still. The clock can be replaced. */
  constructor(quiet = 120, now = () => performance.now(), sleep = (ms) => new Promise((wake) => setTimeout(wake, ms))) {
    Object.assign(this, { quiet, now, sleep });
  }

  /** The hand moves: whatever has not begun waits. */
  moved() {
    this.#moved = this.now();
  }

  /** Run a task when its turn comes; a lower rank comes first, and among equals the earlier one. Resolves with its result. */
  rest(task, rank = 0) {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ task, rank, resolve, reject });
      this.#run();
    });
  }

  async #run() {
    if (this.#running) return;
    this.#running = true;
    while (this.#waiting.length) {
      const left = this.#moved + this.quiet - this.now();
      if (left > 0) {
        await this.sleep(left);
        continue;
      }
      const first = this.#waiting.reduce((best, other) => (other.rank < best.rank ? other : best));
      this.#waiting.splice(this.#waiting.indexOf(first), 1);
      try {
        first.resolve(await first.task());
      } catch (error) {
        first.reject(error);
      }
    }
    this.#running = false;
  }
}
