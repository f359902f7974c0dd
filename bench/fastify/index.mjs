// GET /health and GET /api/v2/products, written as a Fastify server usually is: the same job on the same store as the
// container that it is measured against, with a process for each core that it has. Nothing is logged, which is in its
// favour.
import cluster from 'node:cluster';
import { createHash, randomUUID } from 'node:crypto';
import { availableParallelism } from 'node:os';
import { DynamoDBClient } from '@aws-sdk/client-dynamodb';
import { DynamoDBDocumentClient, GetCommand, QueryCommand, UpdateCommand } from '@aws-sdk/lib-dynamodb';
import Fastify from 'fastify';

const { PORT, PRODUCTS_TABLE, RATE_LIMIT_FREE, RATE_LIMIT_TABLE } = process.env;
for (const name of ['PORT', 'PRODUCTS_TABLE', 'RATE_LIMIT_FREE', 'RATE_LIMIT_TABLE']) {
  if (!process.env[name]) throw new Error(`${name} is not set`);
}

const processes = availableParallelism();
if (cluster.isPrimary && processes > 1) {
  for (let i = 0; i < processes; i += 1) cluster.fork();
  process.on('SIGTERM', () => process.exit(0));
} else {
  await serve();
}

async function serve() {
  const store = DynamoDBDocumentClient.from(new DynamoDBClient({}));
  const app = Fastify({ logger: false, requestIdHeader: 'x-request-id', genReqId: () => randomUUID() });

  // What every answer of the container has.
  app.addHook('onRequest', (request, reply, done) => {
    reply.headers({
      'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
      'referrer-policy': 'no-referrer',
      'strict-transport-security': 'max-age=63072000; includeSubDomains',
      'x-content-type-options': 'nosniff',
      'x-request-id': request.id,
    });
    done();
  });

  // As a Fastify schema: the answer is serialised by a compiled function.
  const text = { type: 'string' };
  const number = { type: 'integer' };
  const object = (properties) => ({ type: 'object', properties });
  const product = object({
    id: text,
    name: text,
    image: object({ url: text, srcset: { type: 'array', items: object({ w: number, url: text }) }, placeholder: text }),
    version: number,
    price: object({ amount: number, currency: text }),
    category: text,
    ratingTenths: number,
    inStock: { type: 'boolean' },
  });
  const page = object({ items: { type: 'array', items: product }, nextCursor: text });

  app.get('/health', { schema: { response: { 200: object({ status: text }) } } }, async (request, reply) => {
    reply.header('cache-control', 'no-store');
    return { status: 'ok' };
  });

  app.get('/api/v2/products', { schema: { response: { 200: page } } }, async (request, reply) => {
    const limit = Number(request.query.limit ?? 20);
    const [, state, found] = await Promise.all([
      count(request.ip),
      store.send(new GetCommand({ TableName: PRODUCTS_TABLE, Key: { pk: 'CATALOG', sk: 'C#HEAD' } })),
      store.send(
        new QueryCommand({
          TableName: PRODUCTS_TABLE,
          KeyConditionExpression: 'pk = :pk AND begins_with(sk, :rows)',
          ExpressionAttributeValues: { ':pk': 'CATALOG', ':rows': 'O#' },
          ScanIndexForward: false,
          Limit: limit,
        }),
      ),
    ]);
    const tag = createHash('sha256').update(`${state.Item?.epoch}:${state.Item?.seq}:${request.url}`).digest('base64url');
    reply.header('etag', `"${tag.slice(0, 22)}"`);
    reply.header('cache-control', 'public, max-age=60, s-maxage=300, stale-while-revalidate=60, stale-if-error=86400');
    reply.header('vary', 'Accept-Encoding');
    const last = found.LastEvaluatedKey;
    return {
      items: found.Items.map(view),
      nextCursor: last && Buffer.from(JSON.stringify(last)).toString('base64url'),
    };
  });

  // The rate limit: one conditional write a request.
  async function count(address) {
    const seconds = Math.floor(Date.now() / 1000);
    await store.send(
      new UpdateCommand({
        TableName: RATE_LIMIT_TABLE,
        Key: { pk: `a:${address}#${Math.floor(seconds / 60)}` },
        UpdateExpression: 'SET expiresAt = if_not_exists(expiresAt, :end) ADD hits :one',
        ConditionExpression: 'attribute_not_exists(hits) OR hits < :allowed',
        ExpressionAttributeValues: { ':end': seconds + 180, ':one': 1, ':allowed': Number(RATE_LIMIT_FREE) },
        ReturnValues: 'UPDATED_NEW',
      }),
    );
  }

  await app.listen({ host: '127.0.0.1', port: Number(PORT) });
}

function view({ id, version, data }) {
  const url = `/images/${data.image}`;
  return {
    id,
    name: data.name,
    image: {
      url,
      srcset: [320, 640, 1080].map((w) => ({ w, url: `${url}?w=${w}` })),
      placeholder: data.placeholder,
    },
    version,
    price: data.price,
    category: data.category,
    ratingTenths: data.ratingTenths,
    inStock: data.stock > 0,
  };
}
