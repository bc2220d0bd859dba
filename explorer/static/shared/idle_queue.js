// An idle queue: background tasks run one at a time, and only while the user is not moving anything.

export class IdleQueue {
  #waiting = [];
  #running = false;
  #lastActivity = -Infinity;

  /** `quiet`: milliseconds without activity after which tasks start. `now` and `sleep` can be replaced by tests. */
  constructor(quiet = 120, now = () => performance.now(), sleep = (ms) => new Promise((wake) => setTimeout(wake, ms))) {
    Object.assign(this, { quiet, now, sleep });
  }

  /** The user moves something: tasks that have not started wait. */
  noteActivity() {
    this.#lastActivity = this.now();
  }

  /** Queue a task. A lower rank runs earlier; equal ranks run in order. Settles as the task does. */
  run(task, rank = 0) {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ task, rank, resolve, reject });
      this.#work();
    });
  }

  async #work() {
    if (this.#running) return;
    this.#running = true;
    while (this.#waiting.length) {
      const remaining = this.#lastActivity + this.quiet - this.now();
      if (remaining > 0) {
        await this.sleep(remaining);
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
