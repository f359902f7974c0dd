// The network between a device and the server, with faults on demand.

/** `fetch` for the device; `calls` is what went through it: `{method, path, status, items}`. */
export function network() {
  const faults = [];
  const net = {
    calls: [],
    offline: false,

    /** The answer to the next request that `match` likes goes through `fault`, which may throw or give another. */
    next(match, fault) {
      faults.push({ match, fault });
    },

    /** The next push is stored, and its answer is lost. */
    loseAnswer() {
      net.next(isPush, () => {
        throw new TypeError('the answer was lost');
      });
    },

    /** No more faults. */
    heal() {
      faults.length = 0;
      net.offline = false;
    },

    async fetch(url, init) {
      if (net.offline) throw new TypeError('offline');
      const request = { method: init.method, path: new URL(url).pathname };
      const response = await fetch(url, init);
      const answer = await response.clone().json();
      net.calls.push({ ...request, status: response.status, items: answer.items?.length });
      const due = faults.findIndex(({ match }) => match(request));
      return due < 0 ? response : faults.splice(due, 1)[0].fault(response);
    },

    count: (match, status) => net.calls.filter((call) => match(call) && (!status || call.status === status)).length,
  };
  return net;
}

export const isPush = ({ method }) => method !== 'GET';
export const isPull = ({ method, path }) => method === 'GET' && path.endsWith('/orders/delta');
