// What the server tells the page in its first line, since it cannot be asked for.

const { orders, signIn, bodyMax } = document.documentElement.dataset;

/** Whether somebody makes the videos that are asked for here. */
export const takesOrders = orders !== "none";

/** Bytes of the longest order that it takes. */
export const longestOrder = Number(bodyMax);

/**
 * Where one signs in, to come back to this address; null where nobody has said.
 *
 * @param {string} [address]
 */
export const signInUrl = (address = location.href) => signIn?.replaceAll("{url}", encodeURIComponent(address)) ?? null;
