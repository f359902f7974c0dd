// Orders in RxDB, in step with the BFF. To make an order, insert `{id, items, …}`; the rest comes from the server.

import { replicateRxCollection } from 'rxdb/plugins/replication';
import { Subject } from 'rxjs';
import { draft, merge, same } from '../orders.js';

const object = { type: 'object' };
const string = { type: 'string' };

/** Only `id` and `version` are required, since they are all that is left of a deleted order. */
export const ordersSchema = {
  version: 0,
  primaryKey: 'id',
  type: 'object',
  properties: {
    id: { type: 'string', maxLength: 64 },
    version: { type: 'integer', default: 0 }, // the server's version that the local state is made from
    status: string,
    total: object,
    items: { type: 'array', items: object },
    note: string,
    shippingAddress: object,
    createdAt: string,
    updatedAt: string,
  },
  required: ['id', 'version'],
};

/** The collection's `conflictHandler`. */
export const ordersConflictHandler = {
  isEqual: (a, b) => a.version === b.version && a._deleted === b._deleted && (a._deleted || same(draft(a), draft(b))),

  resolve({ assumedMasterState: base, newDocumentState: mine, realMasterState: theirs }) {
    if (theirs._deleted || theirs.status !== 'pending') return theirs;
    if (mine._deleted) return { ...theirs, _deleted: true };
    return present({ ...theirs, ...merge(base?._deleted ? undefined : base, mine, theirs) });
  },
};

/**
 * Starts the replication. `user` names it, since a sync token is bound to its user: give each user a database of its
 * own. `refused(id, error)` hears of what can never be stored, such as an unknown product, and of edits that came too
 * late.
 */
export function replicateOrders(collection, bff, { user, refused = console.warn, ...options }) {
  const stream$ = new Subject();
  let pushes = 0;
  const replication = replicateRxCollection({
    replicationIdentifier: `orders-${user}`,
    collection,
    deletedField: 'deleted',
    ...options,
    pull: {
      stream$,
      batchSize: Infinity, // the handler reads to the end, so RxDB need not ask for more
      async handler(checkpoint) {
        let found, before;
        // RxDB passes over a change to a document that it is pushing, and never looks at it again. So nothing is
        // pulled that a push may have had a hand in: such changes are read once more when it is done.
        do {
          await replication.internalReplicationState.streamQueue.up;
          before = pushes;
          found = await bff.changes(checkpoint?.token);
        } while (before !== pushes);
        const documents = found.items.map(toDocument);
        if (found.full) documents.push(...(await gone(collection, documents)));
        return { documents, checkpoint: { token: found.token } };
      },
    },
    push: {
      batchSize: 49, // one request
      async handler(rows) {
        pushes += 1;
        const results = await bff.push(rows.map(({ newDocumentState }) => toEdit(newDocumentState)));
        stream$.next('RESYNC'); // fetches the versions and prices of what has been stored
        const conflicts = [];
        for (const { id, error } of results) {
          const current = error?.details?.current;
          if (current) conflicts.push(toDocument(current));
          if (error && !current?.deleted && current?.status !== 'pending') refused(id, error);
        }
        return conflicts;
      },
    },
  });
  return replication;
}

/** Tombstones for the rows that the server no longer has. RxDB itself leaves out those with edits of their own. */
async function gone(collection, documents) {
  const there = new Set(documents.map(({ id }) => id));
  const rows = await collection.find().exec();
  return rows
    .filter(({ id, version }) => version > 0 && !there.has(id))
    .map(({ id, version }) => ({ id, version, deleted: true }));
}

const toEdit = (document) =>
  document.deleted
    ? { op: 'delete', id: document.id, version: document.version }
    : { op: 'put', id: document.id, version: document.version, data: draft(document) };

/** The fields that the schema knows. The server may have more one day. */
const toDocument = (item) =>
  Object.fromEntries(Object.entries(item).filter(([field]) => field === 'deleted' || field in ordersSchema.properties));

/** Without the members that are undefined, which a stored document cannot have. */
const present = (value) => JSON.parse(JSON.stringify(value));
