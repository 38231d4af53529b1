// Texts that the browser keeps, by name; where it denies that, the page itself does, for as long as it lives.

export class Kept {
  #storage;
  /** @type {Map<string, string>} */
  #here = new Map();

  /** @param {() => Storage} storage a function, since where it is denied its very name throws */
  constructor(storage) {
    this.#storage = storage;
  }

  /** @param {string} name */
  get(name) {
    try {
      return this.#storage().getItem(name) ?? this.#here.get(name) ?? null;
    } catch {
      return this.#here.get(name) ?? null;
    }
  }

  /**
   * @param {string} name
   * @param {string} text
   */
  set(name, text) {
    this.remove(name);
    try {
      this.#storage().setItem(name, text);
    } catch {
      this.#here.set(name, text); // denied, or full
    }
  }

  /** @param {string} name */
  remove(name) {
    this.#here.delete(name);
    try {
      this.#storage().removeItem(name);
    } catch {
      // There is nothing there.
    }
  }
}
