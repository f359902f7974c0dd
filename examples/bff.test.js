import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Refusal, connect } from './bff.js';

/** A server that gives these answers, one after the other; `asked` is what it was asked. */
function scripted(...answers) {
  const asked = [];
  const fetch = async (url, { headers, body }) => {
    asked.push({ url, token: headers.authorization, body: body && JSON.parse(body) });
    const [status, json] = answers.shift();
    return Response.json(json, { status });
  };
  const bff = connect({ url: 'http://bff', token: async (renew) => (renew ? 'new' : 'old'), fetch });
  return { bff, asked };
}

const page = (items, more = {}) => [200, { items, syncToken: 'next', hasMore: false, ...more }];
const busy = [503, { code: 'UNAVAILABLE', retryable: true, retryAfter: 0.001 }];
const expired = [410, { code: 'SYNC_TOKEN_EXPIRED', retryable: false }];
const order = (id, version) => ({ id, version });
const gone = (id, version) => ({ id, version, deleted: true });

test('an access token that has expired is renewed, once', async () => {
  const old = [401, { code: 'TOKEN_EXPIRED', retryable: false }];
  const { bff, asked } = scripted(old, page([]), old, old);
  await bff.changes('t');
  assert.deepEqual(
    asked.map(({ token }) => token),
    ['Bearer old', 'Bearer new'],
  );
  await assert.rejects(bff.changes('t'), { status: 401 });
});

test('a busy server is asked four times', async () => {
  const { bff, asked } = scripted(busy, busy, busy, busy);
  await assert.rejects(bff.changes('t'), { code: 'UNAVAILABLE' });
  assert.equal(asked.length, 4);
});

test('an error without an error object is not retried', async () => {
  const { bff } = scripted([502, 'bad gateway']);
  await assert.rejects(bff.changes('t'), { status: 502 });
});

test('pages are read to the end, and the newest state of each order counts', async () => {
  const { bff, asked } = scripted(
    page([order('a', 1), order('b', 1)], { hasMore: true, syncToken: 'half' }),
    page([order('a', 2), gone('b', 2)]),
  );
  const { items, token, full } = await bff.changes('t');
  assert.deepEqual([items, token, full], [[order('a', 2), gone('b', 2)], 'next', false]);
  assert.deepEqual(
    asked.map(({ url }) => new URL(url).searchParams.get('since')),
    ['t', 'half'],
  );
});

test('a full sync leaves out what was deleted while it ran', async () => {
  const { bff } = scripted(page([order('a', 1), order('b', 1)], { hasMore: true }), page([gone('b', 2)]));
  assert.deepEqual(await bff.changes(), { items: [order('a', 1)], token: 'next', full: true });
});

for (const [status, code] of [
  [410, 'SYNC_TOKEN_EXPIRED'],
  [400, 'INVALID_SYNC_TOKEN'],
]) {
  test(`${status} starts again, also in the middle`, async () => {
    const { bff, asked } = scripted(
      page([order('a', 1)], { hasMore: true }),
      [status, { code, retryable: false }],
      page([order('b', 1)]),
    );
    assert.deepEqual(await bff.changes('t'), { items: [order('b', 1)], token: 'next', full: true });
    assert.deepEqual(
      asked.map(({ url }) => new URL(url).searchParams.get('since')),
      ['t', 'next', null],
    );
  });
}

test('a full sync that cannot end is given up', async () => {
  const { bff, asked } = scripted(expired, page([], { hasMore: true }), expired);
  await assert.rejects(bff.changes('t'), { status: 410 });
  assert.equal(asked.length, 3);
});

test('edits go out 49 at a time', async () => {
  const results = (count) => [
    200,
    { results: Array.from({ length: count }, () => ({ id: 'x', status: 200, item: {} })) },
  ];
  const { bff, asked } = scripted(results(49), results(1));
  const answer = await bff.push(Array.from({ length: 50 }, () => ({ op: 'delete', id: 'x' })));
  assert.equal(answer.length, 50);
  assert.deepEqual(
    asked.map(({ body }) => body.mutations.length),
    [49, 1],
  );
});

test('an edit that the server was too busy for makes the push fail', async () => {
  const { bff } = scripted([
    200,
    { results: [{ id: 'x', status: 503, error: { code: 'UNAVAILABLE', retryable: true } }] },
  ]);
  await assert.rejects(bff.push([{ op: 'delete', id: 'x' }]), Refusal);
});
