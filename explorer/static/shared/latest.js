// Latest wins: a bounded number of requests is under way, only the newest one waits, and no answer is shown out of order.

export class Latest {
  #run;
  #show;
  #maxRequests;
  #underWay = 0;
  #waiting = null;
  #sent = 0;
  #shown = 0;
  #key = null;

  /**
   * `run(request)` returns a promise of an answer. `show(answer, request)` is called with answers newer than the shown one; a
   * rejected request gives {error}. `maxRequests()` is the number of requests that may be under way.
   */
  constructor(run, show, maxRequests = () => 3) {
    this.#run = run;
    this.#show = show;
    this.#maxRequests = maxRequests;
  }

  /** Send a request, or let it wait. One with the same key as the last one is ignored, because it asks for the same answer. */
  request(request, key = null) {
    if (key !== null && key === this.#key) return;
    this.#key = key;
    this.#waiting = request;
    this.#next();
  }

  /** Drop the waiting request, and the answers of those under way. */
  cancel() {
    this.#waiting = null;
    this.#key = null;
    this.#shown = this.#sent;
  }

  async #next() {
    if (this.#waiting === null || this.#underWay >= this.#maxRequests()) return;
    const request = this.#waiting;
    const number = ++this.#sent;
    this.#waiting = null;
    this.#underWay += 1;
    let answer = null;
    try {
      answer = await this.#run(request);
    } catch {
      // A lost connection is treated as a missing answer.
    }
    this.#underWay -= 1;
    if (number > this.#shown) {
      this.#shown = number;
      this.#show(answer ?? { error: "The server did not answer." }, request);
    }
    this.#next();
  }
}
