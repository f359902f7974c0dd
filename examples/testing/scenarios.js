// What a device goes through, the same for every local database. `open` makes a device, see rxdb/device.js.

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, afterEach, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect } from '../bff.js';
import { draft } from '../orders.js';
import { isPull, isPush, network } from './network.js';
import { startServer, tokenOf } from './server.js';

// A full sync reads the changes of the last minute again, so the log has to reach back farther.
const RETENTION_SECONDS = 75;

const newId = () => randomUUID().replaceAll('-', '');
const line = (product, quantity) => ({ productId: `p-${String(product).padStart(4, '0')}`, quantity });
const address = (street) => ({ street, city: 'Oslo', zipCode: '0155', country: 'Norway' });
const busy = (retryAfter) => Response.json({ code: 'UNAVAILABLE', retryable: true, retryAfter }, { status: 503 });
const byId = (a, b) => (a.id < b.id ? -1 : 1);

/** A random generator that a seed repeats (mulberry32). */
function random(seed) {
  let state = seed;
  const next = () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  return { chance: (share) => next() < share, pick: (list) => list[Math.floor(next() * list.length)] };
}

export function scenarios(library, open) {
  const opened = new Set();
  let server;
  let forgetful;
  let aging;
  let users = 0;

  /** Devices of one user, each with a network of its own; a new user unless one is named. */
  async function devices(count, { at = server, user = `${library}-${(users += 1)}-${newId().slice(0, 8)}` } = {}) {
    const token = async () => accessToken;
    const accessToken = tokenOf(user);
    const server = connect({ url: at.url, token });
    return Promise.all(
      Array.from({ length: count }, async () => {
        const net = network();
        const refusals = [];
        const options = {
          name: `device-${newId()}`,
          user,
          refused: (id, error) => refusals.push({ id, code: error.code }),
        };
        const start = async (saved) => {
          const device = await open(connect({ url: at.url, token, fetch: net.fetch }), { ...options, saved });
          opened.add(device);
          return Object.assign(device, { net, refusals, server, restart: () => restart(device) });
        };
        const restart = async (device) => {
          opened.delete(device);
          return start(await device.close());
        };
        return start();
      }),
    );
  }

  /** Edits made while offline; what the library tries to send meanwhile goes nowhere. */
  async function offline(device, edits) {
    device.net.offline = true;
    await edits(device);
    device.net.offline = false;
  }

  /** Every device has what the server has: the app's part, version, status and total of each order. */
  async function assertInStep(...list) {
    const picked = (orders) =>
      orders
        .map((order) => ({
          id: order.id,
          version: order.version,
          status: order.status,
          total: order.total,
          ...draft(order),
        }))
        .sort(byId);
    const { items } = await list[0].server.changes();
    for (const device of list) assert.deepEqual(picked(await device.all()), picked(items));
    return items.sort(byId);
  }

  /** Syncs until it goes through, as an app does that is called again after each failure. */
  async function syncAtLast(device, tries = 5) {
    for (let left = tries; ; left -= 1) {
      try {
        return await device.sync();
      } catch (error) {
        if (left === 1) throw error;
        await sleep(50);
      }
    }
  }

  /** A tablet that has missed something. Its token expires while the other tests run. */
  async function beginAging(at) {
    const [phone, tablet] = await devices(2, { at });
    const [kept, gone, edited] = [newId(), newId(), newId()];
    for (const id of [kept, gone, edited]) await phone.create(id, { items: [line(1, 1)] });
    await phone.sync();
    await tablet.sync();
    await phone.remove(gone);
    await phone.edit(edited, () => ({ note: 'Meanwhile' }));
    await phone.sync();
    opened.clear(); // they outlive the first test
    return { phone, tablet, kept, gone, edited, since: Date.now() };
  }

  before(async () => {
    server = await startServer();
    forgetful = await startServer({ env: { SYNC_RETENTION_SECONDS: String(RETENTION_SECONDS) } });
    aging = await beginAging(forgetful);
  });
  afterEach(async () => {
    for (const device of opened) await device.close();
    opened.clear();
  });
  after(async () => {
    for (const device of [aging?.phone, aging?.tablet]) await device?.close();
    await server?.stop();
    await forgetful?.stop();
  });

  test('an order made on one device appears on the other, with what the server adds', async () => {
    const [phone, tablet] = await devices(2);
    const id = newId();
    await phone.create(id, { items: [line(1, 2)], note: 'Ring twice', shippingAddress: address('Storgata 1') });
    await phone.sync();
    await tablet.sync();
    const [stored] = await assertInStep(phone, tablet);
    assert.deepEqual([stored.version, stored.status, stored.note], [1, 'pending', 'Ring twice']);
    assert.ok(stored.total.amount > 0);
  });

  test('edits of different fields on two devices both survive', async () => {
    const [phone, tablet] = await devices(2);
    const id = newId();
    await phone.create(id, { items: [line(1, 2)], note: 'Ring twice' });
    await phone.sync();
    await tablet.sync();
    await offline(phone, () => phone.edit(id, () => ({ items: [line(1, 2), line(2, 1)] })));
    await offline(tablet, () => tablet.edit(id, () => ({ note: null, shippingAddress: address('Storgata 1') })));
    await phone.sync();
    await tablet.sync();
    await phone.sync();
    const [stored] = await assertInStep(phone, tablet);
    assert.deepEqual(draft(stored), draft({ items: [line(1, 2), line(2, 1)], shippingAddress: address('Storgata 1') }));
    assert.equal(stored.version, 3);
  });

  test('a conflict over the same fields is merged, and no edit is lost', async () => {
    const [phone, tablet] = await devices(2);
    const id = newId();
    await phone.create(id, { items: [line(1, 1), line(2, 1), line(3, 1)] });
    await phone.sync();
    await tablet.sync();
    await offline(phone, () => phone.edit(id, () => ({ items: [line(1, 5), line(3, 1)], note: 'From the phone' })));
    await offline(tablet, () =>
      tablet.edit(id, () => ({ items: [line(1, 3), line(2, 1), line(3, 1), line(4, 1)], note: 'From the tablet' })),
    );
    await phone.sync();
    await tablet.sync();
    await phone.sync();
    const [stored] = await assertInStep(phone, tablet);
    assert.deepEqual(
      stored.items.map(({ productId, quantity }) => [productId, quantity]),
      [
        ['p-0001', 5],
        ['p-0003', 1],
        ['p-0004', 1],
      ],
    );
    assert.equal(stored.note, 'From the phone\nFrom the tablet');
  });

  test('another device writes between pull and push', async () => {
    const [phone, tablet] = await devices(2);
    const id = newId();
    await phone.create(id, { items: [line(1, 1)] });
    await phone.sync();
    await tablet.sync();
    await offline(tablet, () => tablet.edit(id, () => ({ items: [line(1, 1), line(2, 1)] })));
    await offline(phone, () => phone.edit(id, () => ({ note: 'From the phone' })));
    phone.net.next(isPull, async (response) => {
      await tablet.sync();
      return response;
    });
    await phone.sync();
    await tablet.sync();
    await phone.sync();
    const [stored] = await assertInStep(phone, tablet);
    assert.deepEqual(draft(stored), draft({ items: [line(1, 1), line(2, 1)], note: 'From the phone' }));
  });

  test('another device writes between a push and its answer, while a pull is under way', async () => {
    const [phone, tablet] = await devices(2);
    const id = newId();
    await phone.create(id, { items: [line(1, 1)] });
    await phone.sync();
    phone.net.next(isPull, () => busy(0.3));
    phone.net.next(isPush, async (response) => {
      await tablet.sync();
      await tablet.edit(id, () => ({ items: [line(1, 1), line(2, 1)] }));
      await tablet.sync();
      await sleep(600); // the pull is over when the push is answered
      return response;
    });
    const syncing = phone.sync();
    await sleep(50);
    await phone.edit(id, () => ({ note: 'From the phone' }));
    await syncing;
    await phone.sync();
    const [stored] = await assertInStep(phone, tablet);
    assert.deepEqual(draft(stored), draft({ items: [line(1, 1), line(2, 1)], note: 'From the phone' }));
    assert.equal(stored.version, 3);
  });

  test('a deletion reaches the other device, and wins over an edit there', async () => {
    const [phone, tablet] = await devices(2);
    const [plain, edited, kept] = [newId(), newId(), newId()];
    for (const id of [plain, edited, kept]) await phone.create(id, { items: [line(1, 1)] });
    await phone.sync();
    await tablet.sync();
    await offline(phone, async () => {
      await phone.remove(plain);
      await phone.remove(edited);
    });
    await offline(tablet, () => tablet.edit(edited, () => ({ note: 'Too late' })));
    await phone.sync();
    await tablet.sync();
    const stored = await assertInStep(phone, tablet);
    assert.deepEqual(
      stored.map(({ id }) => id),
      [kept],
    );
  });

  test('a deletion wins over an edit that came before it', async () => {
    const [phone, tablet] = await devices(2);
    const id = newId();
    await phone.create(id, { items: [line(1, 1)] });
    await phone.sync();
    await tablet.sync();
    await offline(phone, () => phone.remove(id));
    await offline(tablet, () => tablet.edit(id, () => ({ note: 'Before' })));
    await tablet.sync();
    await phone.sync();
    await tablet.sync();
    assert.deepEqual(await assertInStep(phone, tablet), []);
  });

  test('what was done offline goes out in batches', async () => {
    const [phone, tablet] = await devices(2);
    const old = Array.from({ length: 20 }, newId);
    for (const id of old) await phone.create(id, { items: [line(1, 1)] });
    await phone.sync();
    await tablet.sync();
    const pushes = phone.net.count(isPush);
    const fresh = Array.from({ length: 60 }, newId);
    await offline(phone, async () => {
      for (const id of fresh) await phone.create(id, { items: [line(2, 1)], note: 'Offline' });
      for (const id of fresh) await phone.edit(id, () => ({ items: [line(2, 2)] }));
      for (const id of old.slice(0, 10)) await phone.edit(id, () => ({ note: 'Edited offline' }));
      for (const id of old.slice(10)) await phone.remove(id);
      await phone.create(newId(), { items: [line(1, 1)], note: 'Short-lived' });
    });
    await phone.sync();
    await tablet.sync();
    const stored = await assertInStep(phone, tablet);
    assert.equal(stored.length, 71);
    // RxDB sends the first edit as it was, since it was trying already: one more version, and two more requests.
    assert.ok(stored.every(({ version }) => version <= 2));
    assert.ok(phone.net.count(isPush) - pushes <= 4, '81 edits are few requests');
  });

  test('a device in step asks once, and sends nothing', async () => {
    const [phone] = await devices(1);
    await phone.create(newId(), { items: [line(1, 1)] });
    await phone.sync();
    await phone.sync();
    phone.net.calls.length = 0;
    await phone.sync();
    assert.deepEqual(
      phone.net.calls.map(({ method, status }) => [method, status]),
      [['GET', 200]],
    );
  });

  test('an app that is restarted goes on from where it was', async () => {
    const [phone, tablet] = await devices(2);
    const [sent, unsent] = [newId(), newId()];
    await phone.create(sent, { items: [line(1, 1)] });
    await phone.sync();
    phone.net.offline = true;
    await phone.create(unsent, { items: [line(2, 1)] });
    await phone.edit(sent, () => ({ note: 'Before the restart' }));
    const restarted = await phone.restart();
    phone.net.heal();
    phone.net.calls.length = 0;
    await restarted.sync();
    await tablet.sync();
    assert.equal((await assertInStep(restarted, tablet)).length, 2);
    // The token was kept: what came is what has changed, and in one page.
    const again = await restarted.restart();
    phone.net.calls.length = 0;
    await again.sync();
    assert.ok(phone.net.calls.every(({ method, items }) => method === 'GET' && items === 0));
  });

  test('an edit made while its order is being sent is the one that stays', async () => {
    const [phone, tablet] = await devices(2);
    const id = newId();
    await phone.create(id, { items: [line(1, 1)], note: 'First' });
    await phone.sync();
    phone.net.next(isPush, async (response) => {
      await phone.edit(id, () => ({ note: 'Third' }));
      return response;
    });
    await phone.edit(id, () => ({ note: 'Second' }));
    await phone.sync();
    await tablet.sync();
    const [stored] = await assertInStep(phone, tablet);
    assert.deepEqual([stored.version, stored.note], [3, 'Third']);
  });

  test('the first sync of 5,000 orders', { timeout: 600_000 }, async (context) => {
    const [phone, tablet] = await devices(2);
    const edits = Array.from({ length: 5000 }, (_, index) => ({
      op: 'put',
      id: newId(),
      version: 0,
      data: { items: [line(1 + (index % 1000), 1)], note: `Number ${index}` },
    }));
    await phone.server.push(edits);
    const start = performance.now();
    await phone.sync();
    const took = performance.now() - start;
    assert.equal((await assertInStep(phone)).length, 5000);
    const pages = phone.net.count(isPull);
    context.diagnostic(`${Math.round(took)} ms, ${pages} requests`);
    // RxDB reads the 21 pages twice where its own first pull has not begun yet when it is asked to sync.
    assert.ok(pages <= 100, `${pages} requests`);

    await phone.edit(edits[17].id, () => ({ note: 'Found' }));
    await phone.sync();
    await tablet.sync();
    assert.equal((await tablet.get(edits[17].id)).note, 'Found');
  });

  test('a push whose answer was lost is stored once', async () => {
    const [phone, tablet] = await devices(2);
    const [id, other, third] = [newId(), newId(), newId()];

    phone.net.loseAnswer();
    await offline(phone, async () => {
      await phone.create(id, { items: [line(1, 1)], note: 'Once' });
      await phone.create(other, { items: [line(1, 1)] });
    });
    await syncAtLast(phone);
    assert.deepEqual(
      (await assertInStep(phone)).map(({ version }) => version),
      [1, 1],
    );

    phone.net.loseAnswer();
    await offline(phone, async () => {
      await phone.edit(id, () => ({ note: 'Twice' }));
      await phone.remove(other);
      await phone.create(third, { items: [line(2, 1)] });
    });
    await syncAtLast(phone);
    await tablet.sync();
    const stored = await assertInStep(phone, tablet);
    assert.deepEqual(stored, [...stored].sort(byId));
    assert.deepEqual(
      new Map(stored.map(({ id: key, version, note }) => [key, [version, note]])),
      new Map(
        [
          [id, [2, 'Twice']],
          [third, [1, undefined]],
        ].sort(),
      ),
    );
  });

  test('an edit made after a push whose answer was lost is kept', async () => {
    const [phone, tablet] = await devices(2);
    const id = newId();
    phone.net.next(isPush, async () => {
      phone.net.offline = true;
      throw new TypeError('the answer was lost');
    });
    await phone.create(id, { items: [line(1, 1)], note: 'First' });
    await Promise.race([phone.sync().catch(() => {}), sleep(300)]);
    await phone.edit(id, () => ({ note: 'Second' }));
    phone.net.offline = false;
    await syncAtLast(phone);
    await tablet.sync();
    const [stored] = await assertInStep(phone, tablet);
    assert.deepEqual([stored.version, stored.note], [2, 'Second']);
  });

  test('a busy server is asked again', async () => {
    const [phone] = await devices(1);
    phone.net.next(isPush, () => busy(0.1));
    phone.net.next(isPull, () => busy(0.1));
    await phone.create(newId(), { items: [line(1, 1)] });
    await phone.sync();
    assert.equal((await assertInStep(phone)).length, 1);
    assert.deepEqual(phone.errors, []);
  });

  test('an edit that can never be stored is reported, and holds nothing up', async () => {
    const [phone] = await devices(1);
    const [wrong, right] = [newId(), newId()];
    await offline(phone, async () => {
      await phone.create(wrong, { items: [line(9999, 1)] });
      await phone.create(right, { items: [line(1, 1)] });
    });
    await phone.sync();
    assert.deepEqual(phone.refusals.slice(0, 1), [{ id: wrong, code: 'VALIDATION_ERROR' }]);
    const { items } = await phone.server.changes();
    assert.deepEqual(
      items.map(({ id }) => id),
      [right],
    );

    await phone.edit(wrong, () => ({ items: [line(2, 1)] }));
    await phone.sync();
    assert.equal((await assertInStep(phone)).length, 2);
  });

  test('what the shop has taken on comes back as it is', async () => {
    const [phone] = await devices(1, { user: `user-${library.length + 30}` });
    await phone.sync();
    const orders = await phone.all();
    const [edited, removed] = orders.filter(({ status }) => status === 'shipped');
    await offline(phone, async () => {
      await phone.edit(edited.id, () => ({ note: 'Too late' }));
      await phone.remove(removed.id);
    });
    await phone.sync();
    await assertInStep(phone);
    assert.equal((await phone.all()).length, orders.length);
    assert.equal((await phone.get(edited.id)).note, edited.note);
    assert.deepEqual(new Set(phone.refusals.map(({ id }) => id)), new Set([edited.id, removed.id]));
  });

  test(
    'three devices at random: all end equal, no edit is lost, no deletion undone',
    { timeout: 300_000 },
    async (context) => {
      const seed = Number(process.env.SEED ?? Math.floor(Math.random() * 2 ** 32));
      context.diagnostic(`SEED=${seed}`);
      const { chance, pick } = random(seed);
      const list = await devices(3);
      const added = new Map(); // of each order, the products that someone has put in
      let product = 0;
      for (let step = 0; step < 150; step += 1) {
        const device = pick(list);
        const orders = await device.all();
        const order = orders.length > 0 && pick(orders);
        product += 1;
        if (chance(0.15) || !order) {
          const id = newId();
          added.set(id, [line(product, 1).productId]);
          await device.create(id, { items: [line(product, 1)] });
        } else if (chance(0.5) && order.items.length < 40) {
          added.get(order.id)?.push(line(product, 1).productId);
          await device.edit(order.id, (newest) => ({ items: [...draft(newest).items, line(product, 1)] }));
        } else if (chance(0.1)) {
          added.delete(order.id);
          await device.remove(order.id);
        } else if (chance(0.4)) {
          device.net.offline = true;
        } else if (chance(0.3)) {
          device.net.loseAnswer();
        } else {
          device.net.offline = false;
          await syncAtLast(device);
        }
      }
      for (const device of [...list, ...list]) {
        device.net.heal();
        await syncAtLast(device);
      }
      const stored = await assertInStep(...list);
      assert.deepEqual(
        stored.map(({ id }) => id),
        [...added.keys()].sort(),
      );
      for (const { id, items } of stored) {
        assert.deepEqual(items.map(({ productId }) => productId).sort(), added.get(id).sort());
      }
    },
  );

  test('an expired sync token leads to a full sync', { timeout: 180_000 }, async () => {
    const { phone, tablet, kept, gone, edited, since } = aging;
    const unsent = newId();
    tablet.net.offline = true;
    await tablet.edit(edited, () => ({ items: [line(1, 1), line(2, 1)] }));
    await tablet.create(unsent, { items: [line(3, 1)] });
    await sleep(Math.max(0, since + (RETENTION_SECONDS + 1) * 1000 - Date.now()));
    tablet.net.offline = false;
    await tablet.sync();
    assert.equal(tablet.net.count(isPull, 410), 1);

    await phone.sync();
    const stored = await assertInStep(phone, tablet);
    assert.deepEqual(
      stored.map(({ id }) => id),
      [kept, edited, unsent].sort(),
    );
    assert.ok(!stored.some(({ id }) => id === gone));
    const merged = stored.find(({ id }) => id === edited);
    assert.deepEqual(draft(merged), draft({ items: [line(1, 1), line(2, 1)], note: 'Meanwhile' }));
  });

  test('the server is killed between a push and its answer', { timeout: 120_000 }, async (context) => {
    const durable = await startServer({ durable: true });
    context.after(durable.stop);
    const [phone, tablet] = await devices(2, { at: durable });
    const ids = Array.from({ length: 120 }, newId);
    await offline(phone, async () => {
      for (const id of ids) await phone.create(id, { items: [line(1, 1)], note: 'Before' });
    });
    let killed = 0;
    const kill = async () => {
      await durable.kill();
      killed += 1;
      throw new TypeError('the server is gone');
    };
    phone.net.next(isPush, kill);
    const syncing = syncAtLast(phone, 1000);
    for (let round = 1; round <= 2; round += 1) {
      while (killed < round) await sleep(10);
      if (round === 1) phone.net.next(isPush, kill);
      await durable.start();
    }
    await syncing;
    await phone.edit(ids[0], () => ({ note: 'After' }));
    await phone.sync();
    await tablet.sync();
    const stored = await assertInStep(phone, tablet);
    assert.deepEqual(
      stored.map(({ id, version }) => [id, version]),
      [...ids].sort().map((id) => [id, id === ids[0] ? 2 : 1]),
    );
  });
}
