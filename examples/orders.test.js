import assert from 'node:assert/strict';
import { test } from 'node:test';
import { draft, merge } from './orders.js';

const order = (lines, more = {}) => ({
  version: 2,
  status: 'pending',
  items: Object.entries(lines).map(([productId, quantity]) => ({ productId, quantity, name: 'the server knows' })),
  ...more,
});
const home = { street: 'Storgata 1', city: 'Oslo', zipCode: '0155', country: 'Norway' };
const work = { ...home, street: 'Karl Johans gate 2' };

const cases = [
  ['only mine changed', order({ a: 1 }), order({ a: 2 }), order({ a: 1 }), order({ a: 2 })],
  ['only theirs changed', order({ a: 1 }), order({ a: 1 }), order({ a: 2 }), order({ a: 2 })],
  [
    'both made the same change',
    order({ a: 1 }),
    order({ a: 2 }, { note: 'n' }),
    order({ a: 2 }, { note: 'n' }),
    order({ a: 2 }, { note: 'n' }),
  ],
  ['different lines', order({ a: 1, b: 1 }), order({ a: 2, b: 1 }), order({ a: 1, b: 3 }), order({ a: 2, b: 3 })],
  ['the same line', order({ a: 1 }), order({ a: 5 }), order({ a: 3 }), order({ a: 5 })],
  ['a line added by each', order({ a: 1 }), order({ a: 1, b: 1 }), order({ a: 1, c: 1 }), order({ a: 1, c: 1, b: 1 })],
  [
    'a line removed by one, another added by the other',
    order({ a: 1, b: 1 }),
    order({ a: 1 }),
    order({ a: 1, b: 1, c: 1 }),
    order({ a: 1, c: 1 }),
  ],
  [
    'a line removed by one and changed by the other',
    order({ a: 1, b: 1 }),
    order({ a: 1 }),
    order({ a: 2, b: 2 }),
    order({ a: 2, b: 2 }),
  ],
  ['together they remove every line', order({ a: 1, b: 1 }), order({ a: 1 }), order({ b: 1 }), order({ b: 1 })],
  [
    'a note by each',
    order({ a: 1 }),
    order({ a: 1 }, { note: 'mine' }),
    order({ a: 1 }, { note: 'theirs' }),
    order({ a: 1 }, { note: 'theirs\nmine' }),
  ],
  [
    'notes too long for one',
    order({ a: 1 }),
    order({ a: 1 }, { note: 'm'.repeat(300) }),
    order({ a: 1 }, { note: 't'.repeat(300) }),
    order({ a: 1 }, { note: 'm'.repeat(300) }),
  ],
  [
    'a note removed',
    order({ a: 1 }, { note: 'old' }),
    order({ a: 1 }),
    order({ a: 2 }, { note: 'old' }),
    order({ a: 2 }),
  ],
  [
    'an address by each',
    order({ a: 1 }),
    order({ a: 1 }, { shippingAddress: home }),
    order({ a: 1 }, { shippingAddress: work }),
    order({ a: 1 }, { shippingAddress: home }),
  ],
  ['my create, whose answer was lost', undefined, order({ b: 1 }), order({ a: 1 }, { version: 1 }), order({ b: 1 })],
  [
    'my create, edited by another device since',
    undefined,
    order({ b: 1 }),
    order({ a: 1 }, { version: 2 }),
    order({ a: 1, b: 1 }),
  ],
  ['theirs was deleted', order({ a: 1 }), order({ a: 2 }), { version: 3, deleted: true }, undefined],
  ['the shop has taken it on', order({ a: 1 }), order({ a: 2 }), order({ a: 1 }, { status: 'shipped' }), undefined],
];

for (const [name, base, mine, theirs, expected] of cases) {
  test(`merge: ${name}`, () => {
    assert.deepEqual(merge(base, mine, theirs), expected && draft(expected));
  });
}
