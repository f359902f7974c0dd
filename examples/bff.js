// The BFF as a local database needs it: all that has changed, and a way to send edits. It knows no database.

const PAGE = 500; // the largest page of a delta
const BATCH = 49; // the most mutations of a batch
const ATTEMPTS = 4;
const TIMEOUT = 10_000;
const NO_LONGER_LEADS_HERE = ['SYNC_TOKEN_EXPIRED', 'INVALID_SYNC_TOKEN'];

/** An answer that is an error. `error` is the object of docs/errors.md. */
export class Refusal extends Error {
  constructor(status, error) {
    super(`${status} ${error.code ?? ''}: ${error.message ?? 'no error object'}`);
    Object.assign(this, { status, error, code: error.code });
  }
}

/**
 * `url` is the service's, `token(renew)` gives the user's access token: a new one when `renew` is true.
 */
export function connect({ url, token, fetch = globalThis.fetch }) {
  /** One call. No network is an error at once: the local databases have their own way to try again. */
  async function send(method, path, body) {
    for (let attempt = 1, renew = false; ; attempt += 1) {
      const abort = new AbortController();
      const timer = setTimeout(() => abort.abort(), TIMEOUT);
      let status, answer;
      try {
        const response = await fetch(`${url}/api/v2/${path}`, {
          method,
          headers: { authorization: `Bearer ${await token(renew)}`, 'content-type': 'application/json' },
          body: body && JSON.stringify(body),
          signal: abort.signal,
        });
        status = response.status;
        answer = await response.json().catch(() => ({}));
        if (response.ok) return answer;
      } finally {
        clearTimeout(timer);
      }
      const expired = answer.code === 'TOKEN_EXPIRED' && !renew;
      if (!(expired || answer.retryable) || attempt === ATTEMPTS) throw new Refusal(status, answer);
      renew ||= expired;
      // With a share of chance, so that not all phones come back at once.
      if (!expired) await new Promise((wake) => setTimeout(wake, answer.retryAfter * (1000 + Math.random() * 500)));
    }
  }

  /**
   * What has changed since `token`, to the end, each order once: `{items, token, full}`. With `full`, which a token
   * that no longer leads here brings as well, `items` is everything there is: drop what is not in it.
   */
  async function changes(token) {
    const found = new Map();
    for (let full = !token; ;) {
      let page;
      try {
        page = await send('GET', `orders/delta?level=full&limit=${PAGE}${token ? `&since=${token}` : ''}`);
      } catch (error) {
        if (full || !NO_LONGER_LEADS_HERE.includes(error.code)) throw error;
        found.clear();
        token = undefined;
        full = true;
        continue;
      }
      for (const item of page.items) {
        if (full && item.deleted) found.delete(item.id);
        else found.set(item.id, item);
      }
      token = page.syncToken;
      if (!page.hasMore) return { items: [...found.values()], token, full };
    }
  }

  /**
   * Sends edits, `{op: 'put' | 'delete', id, version, data}`, and gives for each `{id, status, item}` or
   * `{id, status, error}`. When it throws, any of them may have been stored: send them again. They need no
   * `mutationId`, since the server sees by version and content which of them it has, as long as each id comes once.
   */
  async function push(edits) {
    const results = [];
    for (let start = 0; start < edits.length; start += BATCH) {
      const answer = await send('POST', 'orders/batch', { mutations: edits.slice(start, start + BATCH) });
      results.push(...answer.results);
    }
    const later = results.find(({ error }) => error?.retryable);
    if (later) throw new Refusal(later.status, later.error);
    return results;
  }

  return { changes, push };
}
