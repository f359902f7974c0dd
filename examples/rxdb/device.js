// A device of the tests: RxDB in memory, which outlives the database until the tests end.

import { setTimeout as sleep } from 'node:timers/promises';
import { createRxDatabase } from 'rxdb/plugins/core';
import { getRxStorageMemory } from 'rxdb/plugins/storage-memory';
import { wrappedValidateAjvStorage } from 'rxdb/plugins/validate-ajv';
import { ordersConflictHandler, ordersSchema, replicateOrders } from './adapter.js';

export async function openDevice(bff, { name, user, refused }) {
  // With a validator, so that what the adapter writes is held to its own schema.
  const storage = wrappedValidateAjvStorage({ storage: getRxStorageMemory() });
  const database = await createRxDatabase({ name, storage, multiInstance: false });
  await database.addCollections({ orders: { schema: ordersSchema, conflictHandler: ordersConflictHandler } });
  const { orders } = database.collections;

  let calls = 0;
  const counted =
    (call) =>
    (...args) => {
      calls += 1;
      return call(...args);
    };
  const errors = [];
  const watched = { changes: counted(bff.changes), push: counted(bff.push) };
  const replication = replicateOrders(orders, watched, { user, refused, retryTime: 50 });
  replication.error$.subscribe((error) => errors.push(error));

  const find = (id) => orders.findOne(id).exec();
  return {
    errors,
    create: (id, order) => orders.insert({ id, ...order }),
    edit: async (id, change) =>
      (await find(id))?.incrementalModify((order) => withoutNulls({ ...order, ...change(order) })),
    remove: async (id) => (await find(id))?.incrementalRemove(),
    get: async (id) => (await find(id))?.toMutableJSON(),
    all: async () => (await orders.find().exec()).map((order) => order.toMutableJSON()),

    /** Until a whole round has brought nothing new. */
    async sync() {
      const before = calls;
      replication.reSync();
      while (calls === before) await sleep(5);
      for (let seen; seen !== calls;) {
        seen = calls;
        await replication.awaitInSync();
        await sleep(20);
      }
    },
    close: () => database.close(),
  };
}

const withoutNulls = (order) => Object.fromEntries(Object.entries(order).filter(([, value]) => value !== null));
