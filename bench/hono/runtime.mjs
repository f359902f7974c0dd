// A Lambda runtime client for Node.js, as small as the protocol allows.
//
// AWS's own client does more for each event and loads a native add-on at start; this one leaves that out, and is bundled
// with the handler into one file, so the comparison errs in Node's favour.
import http from 'node:http';

const [hostname, port] = process.env.AWS_LAMBDA_RUNTIME_API.split(':');
const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });

function call(method, path, body, headers = {}) {
  return new Promise((resolve, reject) => {
    const request = http.request(
      {
        agent,
        hostname,
        port,
        method,
        path: `/2018-06-01/runtime${path}`,
        headers: body === undefined ? headers : { ...headers, 'Content-Length': Buffer.byteLength(body) },
      },
      (response) => {
        const chunks = [];
        response.on('data', (chunk) => chunks.push(chunk));
        response.on('end', () => resolve({ headers: response.headers, body: Buffer.concat(chunks).toString() }));
        response.on('error', reject);
      },
    );
    request.on('error', reject);
    request.end(body);
  });
}

function report(path, error) {
  const type = error?.name ?? 'Error';
  const body = JSON.stringify({
    errorType: type,
    errorMessage: String(error?.message ?? error),
    stackTrace: String(error?.stack ?? '').split('\n'),
  });
  return call('POST', path, body, { 'Lambda-Runtime-Function-Error-Type': type });
}

async function main() {
  let handler;
  try {
    ({ handler } = await import('./index.mjs'));
  } catch (error) {
    await report('/init/error', error);
    process.exit(1);
  }

  for (;;) {
    const { headers, body } = await call('GET', '/invocation/next');
    const id = headers['lambda-runtime-aws-request-id'];
    process.env._X_AMZN_TRACE_ID = headers['lambda-runtime-trace-id'];
    const context = {
      awsRequestId: id,
      invokedFunctionArn: headers['lambda-runtime-invoked-function-arn'],
      functionName: process.env.AWS_LAMBDA_FUNCTION_NAME,
      functionVersion: process.env.AWS_LAMBDA_FUNCTION_VERSION,
      memoryLimitInMB: process.env.AWS_LAMBDA_FUNCTION_MEMORY_SIZE,
      getRemainingTimeInMillis: () => Number(headers['lambda-runtime-deadline-ms']) - Date.now(),
    };
    try {
      const answer = await handler(JSON.parse(body), context);
      await call('POST', `/invocation/${id}/response`, JSON.stringify(answer));
    } catch (error) {
      await report(`/invocation/${id}/error`, error);
    }
  }
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
