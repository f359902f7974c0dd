// GET /api/v2/users/me, written as a Hono app on Lambda usually is: the same job as the function that it is measured
// against. Clients are made once, while the function starts.
import { DynamoDBClient } from '@aws-sdk/client-dynamodb';
import { DynamoDBDocumentClient, GetCommand } from '@aws-sdk/lib-dynamodb';
import { Hono } from 'hono';
import { handle } from 'hono/aws-lambda';
import { verify } from 'hono/jwt';

const { JWT_AUDIENCE, JWT_ISSUER, JWT_SECRET, USERS_TABLE } = process.env;
for (const name of ['JWT_AUDIENCE', 'JWT_ISSUER', 'JWT_SECRET', 'USERS_TABLE']) {
  if (!process.env[name]) throw new Error(`${name} is not set`);
}

const store = DynamoDBDocumentClient.from(new DynamoDBClient({}));

const app = new Hono();

app.get('/api/v2/users/me', async (c) => {
  const [scheme, token] = (c.req.header('authorization') ?? '').split(' ');
  if (scheme.toLowerCase() !== 'bearer' || !token) return refuse(c);
  let claims;
  try {
    // hono/jwt checks exp by itself, but accepts a token that has none.
    claims = await verify(token, JWT_SECRET, { alg: 'HS256', iss: JWT_ISSUER, aud: JWT_AUDIENCE });
  } catch {
    return refuse(c);
  }
  if (typeof claims.exp !== 'number' || typeof claims.sub !== 'string') return refuse(c);

  const key = { TableName: USERS_TABLE, Key: { id: claims.sub }, ConsistentRead: true };
  const { Item: user } = await store.send(new GetCommand(key));
  if (!user) return c.json({ code: 'NOT_FOUND', message: 'There is no such user.', retryable: false }, 404);
  return c.json({
    id: user.id,
    name: `${user.firstName} ${user.lastName}`,
    email: user.email,
    ...(user.avatar ? { avatar: user.avatar } : {}),
  });
});

function refuse(c) {
  return c.json({ code: 'UNAUTHENTICATED', message: 'A valid bearer token is needed.', retryable: false }, 401);
}

export const handler = handle(app);
