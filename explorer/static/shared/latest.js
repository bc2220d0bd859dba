// Latest wins: at most `width()` requests under way, the newest waiting, everything older dropped, nothing shown out of order.

export class Latest {
  #run;
  #show;
  #width;
  #underWay = 0;
  #waiting = null;
  #sent = 0;
  #shown = 0;
  #name = null;

  /** `run(request)` gives a promise of an answer; `show(answer, request)` is called with answers newer than those shown. */
  constructor(run, show, width = () => 3) {
    this.#run = run;
    this.#show = show;
    this.#width = width;
  }

  /** Ask, unless the last request had the same name: a place of which one is told twice is asked for once. */
  ask(request, name = null) {
    if (name !== null && name === this.#name) return;
    this.#name = name;
    this.#waiting = request;
    this.#next();
  }

  /** Forget what waits and whatever is still to come. */
  cancel() {
    this.#waiting = null;
    this.#name = null;
    this.#shown = this.#sent;
  }

  async #next() {
    if (this.#waiting === null || this.#underWay >= this.#width()) return;
    const request = this.#waiting;
    const turn = ++this.#sent;
    this.#waiting = null;
    this.#underWay += 1;
    let answer = null;
    try {
      answer = await this.#run(request);
    } catch {
      // A lost connection looks like an answer that never came.
    }
    this.#underWay -= 1;
    if (turn > this.#shown) {
      this.#shown = turn;
      this.#show(answer ?? { error: "The server did not answer." }, request);
    }
    this.#next();
  }
}
