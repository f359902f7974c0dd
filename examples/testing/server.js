// A `cargo dev` of the tests' own.

import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const program = fileURLToPath(new URL('../../target/debug/dev', import.meta.url));

/** A token of `user`, as `cargo dev token` prints it. */
export const tokenOf = (user) => execFileSync(program, ['token', '--user', user], { encoding: 'utf8' }).trim();

/** A server on a free port, which it keeps when it is started again. With `durable`, its data outlive it. */
export async function startServer({ durable = false, env = {} } = {}) {
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const folder = durable ? mkdtempSync(join(tmpdir(), 'bff-')) : undefined;
  let child;
  // Should the tests end in an uncommon way, the server ends with them.
  process.once('exit', () => child?.kill('SIGKILL'));

  async function start() {
    const args = ['--port', String(port), ...(folder ? ['--data', folder] : [])];
    child = spawn(program, args, {
      env: { ...process.env, LOG_LEVEL: 'error', ...env },
      stdio: ['ignore', 'ignore', 'inherit'],
    });
    while (!(await fetch(`${url}/health`).catch(() => undefined))?.ok) {
      if (child.exitCode !== null) throw new Error(`cargo dev ended with ${child.exitCode} at its start`);
      await sleep(20);
    }
  }

  async function kill(signal = 'SIGKILL') {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, 'exit');
    child.kill(signal);
    await exited;
  }

  async function stop() {
    await kill();
    if (folder) rmSync(folder, { recursive: true });
  }

  await start();
  return { url, start, kill, stop };
}

async function freePort() {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address();
  probe.close();
  await once(probe, 'close');
  return port;
}
