// What an app writes of an order, and how the edits of two devices become one. Make the rules of `merge` your own.

/** The part that an app may write. Status, total, names and times are the server's, which refuses to take them. */
export function draft({ items, note, shippingAddress: address }) {
  const { street, city, state, zipCode, country } = address ?? {};
  return {
    items: items.map(({ productId, quantity }) => ({ productId, quantity })),
    note: note ?? undefined,
    // `state` may be missing; JSON leaves undefined members out.
    shippingAddress: address ? { street, city, state: state ?? undefined, zipCode, country } : undefined,
  };
}

/** Whether two values are the same in JSON. */
export const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);

/**
 * Merges `mine` into `theirs`, the server's newer copy; `base` is the copy that `mine` was made from. Gives the new
 * draft, or nothing when the server's copy stands: a deletion is final, and so is the shop's taking an order on.
 */
export function merge(base, mine, theirs) {
  if (theirs.deleted || theirs.status !== 'pending') return undefined;
  // Nobody else makes an order under an id of ours: at version 1 it is our own create, and its answer was lost.
  const known = base ?? (theirs.version === 1 ? theirs : { items: [] });
  const [from, local, remote] = [known, mine, theirs].map(draft);

  const pick = (field, both) => {
    if (same(local[field], from[field])) return remote[field];
    if (same(remote[field], from[field]) || same(remote[field], local[field])) return local[field];
    return both(local[field], remote[field]);
  };
  return {
    items: pick('items', () => mergeLines(from.items, local.items, remote.items)),
    note: pick('note', mergeNotes),
    // Half of one address and half of another lead nowhere: the device that syncs last has its way.
    shippingAddress: pick('shippingAddress', (ours) => ours),
  };
}

/** Each line by itself. Where both have changed a line, the larger quantity: it is easier to return than to miss. */
function mergeLines(base, mine, theirs) {
  const quantity = (lines, productId) => lines.find((line) => line.productId === productId)?.quantity ?? 0;
  const products = new Set([...theirs, ...mine].map((line) => line.productId));
  const lines = [...products].map((productId) => {
    const [from, ours, other] = [base, mine, theirs].map((lines) => quantity(lines, productId));
    const merged = ours === from ? other : other === from ? ours : Math.max(ours, other);
    return { productId, quantity: merged };
  });
  const kept = lines.filter((line) => line.quantity > 0);
  return kept.length > 0 ? kept : theirs; // an order has a line
}

/** Both, one below the other, as long as they fit. */
function mergeNotes(mine, theirs) {
  const both = [theirs, mine].filter(Boolean).join('\n');
  return [...both].length <= 500 ? both : mine;
}
