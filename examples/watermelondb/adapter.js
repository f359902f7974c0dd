// Orders in WatermelonDB, in step with the BFF. To make an order, create a record with `items`; the rest comes from the
// server.

import { synchronize } from '@nozbe/watermelondb/sync/index.js';
import { tableSchema } from '@nozbe/watermelondb/Schema/index.js';
import { draft, merge, same } from '../orders.js';

const TABLE = 'orders';
const ROUNDS = 4;

/** Put them into your `appSchema`, and give each a Model. */
export const tables = [
  tableSchema({
    name: TABLE,
    columns: [
      { name: 'items', type: 'string' }, // JSON; the app writes this
      { name: 'note', type: 'string', isOptional: true }, // and this
      { name: 'shipping_address', type: 'string', isOptional: true }, // and this, JSON too
      { name: 'server', type: 'string', isOptional: true }, // the server's copy that the row is made from, JSON
    ],
  }),
  // The sync token. Being a row among the changes, it is stored in one transaction with them.
  tableSchema({ name: 'sync_tokens', columns: [{ name: 'token', type: 'string' }] }),
];

/**
 * Pulls, merges and pushes, and pulls what the server has made of it. Throws when there is no network: call it again
 * then, everything is kept. `refused(id, error)` hears of what can never be stored, such as an unknown product, and of
 * edits that came too late.
 */
export async function syncOrders(database, bff, { refused = console.warn } = {}) {
  let again;
  let copies = []; // the server's, of what it did not take
  let undeleted = []; // ids of what it did not delete
  const sent = new Map(); // what it did take

  async function pullChanges({ lastPulledAt }) {
    const [stored] = await database.get('sync_tokens').query().unsafeFetchRaw();
    const { items, token, full } = await bff.changes(stored?.token);
    const newest = [...new Map([...copies, ...items].map((item) => [item.id, item])).values()];
    // Where a deletion was refused, what is left of the row makes room for the order that comes back.
    if (undeleted.length > 0) await database.adapter.destroyDeletedRecords(TABLE, undeleted);
    [copies, undeleted] = [[], []];
    return {
      changes: {
        [TABLE]: {
          created: [],
          updated: newest.filter((item) => !item.deleted).map(toRow),
          deleted: newest.filter((item) => item.deleted).map(({ id }) => id),
        },
        sync_tokens: { created: [], updated: [{ id: TABLE, token }], deleted: [] },
      },
      // With `full`, rows that the server does not have are dropped, unless they are new and not sent yet.
      experimentalStrategy: full ? 'replacement' : 'incremental',
      timestamp: (lastPulledAt ?? 0) + 1, // WatermelonDB wants a number that grows; the token is what counts
    };
  }

  /** For each row that is here already: what has not been sent yet is merged into what has come. */
  function conflictResolver(table, local, remote, resolved) {
    if (table !== TABLE || local._status === 'synced') return resolved;
    const [mine, theirs] = [toOrder(local), JSON.parse(remote.server)];
    const merged = merge(sent.get(local.id) ?? serverCopy(local), mine, theirs);
    if (!merged && !same(draft(mine), draft(theirs)))
      refused(local.id, { code: 'CONFLICT', details: { current: theirs } });
    // Nothing is left to send; so too after a push whose answer was lost.
    if (!merged || same(merged, draft(theirs))) return { ...remote, _status: 'synced', _changed: '' };
    return { ...resolved, ...toColumns(merged) };
  }

  async function pushChanges({ changes }) {
    const { created, updated, deleted } = changes[TABLE];
    const puts = [...created, ...updated].map((row) => ({
      op: 'put',
      id: row.id,
      version: serverCopy(row)?.version ?? 0,
      data: draft(toOrder(row)),
    }));
    // WatermelonDB keeps nothing of a deleted row but its id, so a deletion names no version.
    const results = await bff.push([...puts, ...deleted.map((id) => ({ op: 'delete', id }))]);
    for (const { id, item, error } of results) {
      const current = error?.details?.current;
      if (item?.items) sent.set(id, item);
      if (current) copies.push(current);
      if (current && deleted.includes(id)) undeleted.push(id);
      if (error && (!current || deleted.includes(id))) refused(id, error);
    }
    const rejected = results.filter(({ error }) => error).map(({ id }) => id);
    // What was stored has a new version now, and what was overtaken is to be merged: once more.
    again = copies.length > 0 || rejected.length < results.length;
    return { experimentalRejectedIds: { [TABLE]: rejected } };
  }

  for (let round = 0; round === 0 || (again && round < ROUNDS); round += 1) {
    again = false;
    await synchronize({ database, pullChanges, pushChanges, conflictResolver, sendCreatedAsUpdated: true });
  }
}

const parse = (json) => (json ? JSON.parse(json) : undefined);
const serverCopy = (row) => parse(row.server);
const toOrder = (row) => ({ items: parse(row.items), note: row.note, shippingAddress: parse(row.shipping_address) });
const toRow = (order) => ({ id: order.id, ...toColumns(draft(order)), server: JSON.stringify(order) });
const toColumns = ({ items, note, shippingAddress }) => ({
  items: JSON.stringify(items),
  note: note ?? null,
  shipping_address: shippingAddress ? JSON.stringify(shippingAddress) : null,
});
