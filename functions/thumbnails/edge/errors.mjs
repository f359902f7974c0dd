// The service's error model. `FACTS` are those of shared/src/error.rs, and a test holds the two together.

export const FACTS = {
    VALIDATION_ERROR: { status: 400, title: 'Invalid request' },
    FORBIDDEN: { status: 403, title: 'Forbidden' },
    NOT_FOUND: { status: 404, title: 'Not found' },
    METHOD_NOT_ALLOWED: { status: 405, title: 'Method not allowed' },
    PAYLOAD_TOO_LARGE: { status: 413, title: 'Body too large' },
    UNSUPPORTED_MEDIA_TYPE: { status: 415, title: 'Unsupported media type' },
    INTERNAL: { status: 500, title: 'Internal error', retryAfter: 5 },
    BACKEND_ERROR: { status: 502, title: 'Backend unavailable', retryAfter: 30 },
    TIMEOUT: { status: 504, title: 'Timeout', retryAfter: 5 },
};

const MESSAGES = {
    METHOD_NOT_ALLOWED: 'This route exists, but not with this method; see the Allow header.',
    UNSUPPORTED_MEDIA_TYPE: 'What is stored there is no picture that can be read.',
    INTERNAL: 'Something went wrong on our side.',
    BACKEND_ERROR: 'A service behind this one is unavailable.',
    TIMEOUT: 'The request took too long.',
};

// Something that has a code of the model. The message is sent, the cause is logged.
export class Failure extends Error {
    constructor(code, message, cause) {
        super(message ?? MESSAGES[code], { cause });
        this.failure = code;
    }
}

// Status, headers and body of an error outside of the versions of the API: the members of RFC 9457 are with it.
export function failure(code, message, details, requestId, instance, docsUrl) {
    const { status, title, retryAfter } = FACTS[code];
    const detail = message ?? MESSAGES[code];
    const body = {
        code,
        message: detail,
        retryable: retryAfter !== undefined,
        retryAfter,
        details,
        requestId,
        type: `${docsUrl}/errors#${code.toLowerCase().replaceAll('_', '-')}`,
        title,
        status,
        detail,
        instance,
    };
    const headers = { 'content-type': 'application/problem+json', 'cache-control': 'no-store' };
    if (retryAfter !== undefined) {
        headers['retry-after'] = retryAfter;
    }
    return { status, headers, body: Buffer.from(JSON.stringify(body)) };
}
