// A device of the tests: WatermelonDB in memory.

import { Database, Model, Q, appSchema } from '@nozbe/watermelondb';
import loki from '@nozbe/watermelondb/adapters/lokijs/index.js';
import logger from '@nozbe/watermelondb/utils/common/logger/index.js';
import { syncOrders, tables } from './adapter.js';

logger.default.silence();

class Order extends Model {
  static table = 'orders';
}

class SyncToken extends Model {
  static table = 'sync_tokens';
}

/** `saved` is what an earlier one has left on the disk when it was closed. */
export async function openDevice(bff, { name, refused, saved }) {
  const schema = appSchema({ version: 1, tables });
  const options = { dbName: name, schema, useWebWorker: false, useIncrementalIndexedDB: false };
  const adapter = (await saved?.testClone()) ?? new loki.default(options);
  const database = new Database({ adapter, modelClasses: [Order, SyncToken] });
  const orders = database.get('orders');

  const write = (record, { items, note, shippingAddress }) => {
    if (items !== undefined) record._setRaw('items', JSON.stringify(items));
    if (note !== undefined) record._setRaw('note', note);
    if (shippingAddress !== undefined) record._setRaw('shipping_address', JSON.stringify(shippingAddress));
  };
  const read = ({ _raw: row }) => ({
    ...JSON.parse(row.server ?? '{}'),
    id: row.id,
    items: JSON.parse(row.items),
    note: row.note ?? undefined,
    shippingAddress: row.shipping_address ? JSON.parse(row.shipping_address) : undefined,
  });
  const found = async (id) => (await orders.query(Q.where('id', id)).fetch())[0];
  return {
    errors: [],
    create: (id, order) =>
      database.write(() =>
        orders.create((record) => {
          record._raw.id = id;
          write(record, order);
        }),
      ),
    edit: (id, change) =>
      database.write(async () => (await found(id))?.update((record) => write(record, change(read(record))))),
    remove: (id) => database.write(async () => (await found(id))?.markAsDeleted()),
    async get(id) {
      const record = await found(id);
      return record && read(record);
    },
    all: async () => (await orders.query().fetch()).map(read),
    sync: () => syncOrders(database, bff, { refused }),
    async close() {
      adapter._driver.loki.close(); // saves, and stops its timer
      return adapter;
    },
  };
}
