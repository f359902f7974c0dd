"""Takes each grant away, one at a time, and sees that something fails that worked before.

A grant that can go without a trace is one too many, or no test asks for what it is for.
"""

import base64
import copy
import hashlib
import hmac
import json
import time
import urllib.error
import urllib.request
import uuid

from deploy import client

USER = "user-123"


def token(secret, issuer, audience):
    """A token of the user, as the issuer would sign it."""

    def encode(part):
        return base64.urlsafe_b64encode(part).rstrip(b"=")

    now = int(time.time())
    claims = {"sub": USER, "iss": issuer, "aud": audience, "iat": now, "exp": now + 3600}
    signed = b".".join(encode(json.dumps(part).encode()) for part in ({"alg": "HS256", "typ": "JWT"}, claims))
    return (signed + b"." + encode(hmac.digest(secret.encode(), signed, hashlib.sha256))).decode()


class Door:
    """The deployed front door, as a phone of the user sees it."""

    def __init__(self, origin, host, bearer):
        self.origin = origin
        # Who shows an origin secret has it compared with the service's own.
        self.headers = {"host": host, "authorization": f"Bearer {bearer}", "x-origin-verify": "not the secret"}

    def ask(self, method, target, body=None, **headers):
        """Status, headers and body of an answer."""
        data = None if body is None else json.dumps(body).encode()
        headers = {**self.headers, "content-type": "application/json", **headers}
        request = urllib.request.Request(self.origin + target, method=method, data=data, headers=headers)
        try:
            with urllib.request.urlopen(request) as answer:
                return answer.status, answer.headers, answer.read()
        except urllib.error.HTTPError as answer:
            return answer.code, answer.headers, answer.read()


def users(door):
    """Reads and edits the own record."""
    status, headers, _ = door.ask("GET", "/api/v2/users/me?level=full")
    # A name that the record does not have yet: an edit that changes nothing is not written.
    edit = {"firstName": f"Jo {uuid.uuid4().hex[:8]}"}
    edited, _, _ = door.ask("PATCH", "/api/v2/users/me", edit, **{"If-Match": headers.get("etag", '"1"')})
    return status, edited


def products(door):
    """Every way to read the catalogue."""
    targets = ["/api/v2/products", "/api/v2/products?category=audio", "/api/v2/products/p-0001", "/api/v2/products/delta"]
    return tuple(door.ask("GET", target)[0] for target in targets)


def orders(door):
    """Every way to read orders, and a new one."""
    targets = ["/api/v2/orders", "/api/v2/orders/o-123-01", "/api/v2/orders/delta"]
    read = tuple(door.ask("GET", target)[0] for target in targets)
    order = {"items": [{"productId": "p-0001", "quantity": 1}]}
    return *read, door.ask("POST", "/api/v2/orders", order, **{"Idempotency-Key": str(uuid.uuid4())})[0]


def home(door):
    """The home screen, which is served without the part that fails."""
    status, _, body = door.ask("GET", "/api/v2/home")
    return status, tuple(json.loads(body).get("errors", ()))


def thumbnails(door):
    """A picture, by the address that the catalogue gives out. A token changes nothing."""
    product = json.loads(door.ask("GET", "/api/v1/products/p-0001")[2])
    return door.ask("GET", product["thumbnail"])[0]


def works(answer):
    """Whether all of an answer is as it should be."""
    if isinstance(answer, tuple):
        return all(works(part) for part in answer)
    return answer in (200, 201)


USES = {"users": users, "products": products, "orders": orders, "home": home, "thumbnails": thumbnails}


def restart(found, function):
    """A new version of a function, so that it starts anew and has no secret in its memory."""
    lambdas = client("lambda")
    name = found[function]
    lambdas.update_function_configuration(FunctionName=name, Description=str(uuid.uuid4()))
    version = lambdas.publish_version(FunctionName=name)["Version"]
    lambdas.update_alias(FunctionName=name, Name="live", FunctionVersion=version)


def each_grant(document):
    """The document without one of its grants, for each grant, and the name of what is missing."""
    for index, statement in enumerate(document["Statement"]):
        actions = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
        for action in actions:
            less = copy.deepcopy(document)
            rest = [other for other in actions if other != action]
            if rest:
                less["Statement"][index]["Action"] = rest
            else:
                del less["Statement"][index]
            if not less["Statement"]:
                less["Statement"] = [{"Effect": "Deny", "Action": "iam:*", "Resource": "*"}]
            yield f"{action} on {statement['Resource']}", less


def warned(found, since):
    """Whether a function has logged that it could not read a secret."""
    logs = client("logs").get_paginator("filter_log_events")
    pages = logs.paginate(logGroupName=found["LogGroup"], startTime=since)
    return any("could not be fetched" in event["message"] for page in pages for event in page["events"])


def check(found, door):
    """Takes away each inline grant of each function, and each of the policy that they share."""
    iam = client("iam")
    count = 0
    for group, use in USES.items():
        function = f"{group.capitalize()}Function"
        role = found[f"{function}Role"]
        before = use(door)
        assert works(before), f"{function} answers {before} with all grants"
        for policy in iam.list_role_policies(RoleName=role)["PolicyNames"]:
            document = iam.get_role_policy(RoleName=role, PolicyName=policy)["PolicyDocument"]
            for grant, less in each_grant(document):
                iam.put_role_policy(RoleName=role, PolicyName=policy, PolicyDocument=json.dumps(less))
                since = int(time.time() * 1000)
                restart(found, function)
                after = use(door)
                assert after != before or warned(found, since), f"{function} answers {before} without {grant}"
                count += 1
            iam.put_role_policy(RoleName=role, PolicyName=policy, PolicyDocument=json.dumps(document))
            restart(found, function)
            after = use(door)
            assert after == before, f"{function} answers {after} with all grants, after {before}"

    shared = found["MiddlewarePolicy"]
    version = iam.get_policy(PolicyArn=shared)["Policy"]["DefaultVersionId"]
    document = iam.get_policy_version(PolicyArn=shared, VersionId=version)["PolicyVersion"]["Document"]
    before = orders(door)
    for grant, less in each_grant(document):
        new = iam.create_policy_version(PolicyArn=shared, PolicyDocument=json.dumps(less), SetAsDefault=True)
        restart(found, "OrdersFunction")
        since = int(time.time() * 1000)
        after = orders(door)
        assert after != before or warned(found, since), f"OrdersFunction answers {before} without {grant}"
        iam.create_policy_version(PolicyArn=shared, PolicyDocument=json.dumps(document), SetAsDefault=True)
        for old in (version, new["PolicyVersion"]["VersionId"]):
            iam.delete_policy_version(PolicyArn=shared, VersionId=old)
        version = iam.get_policy(PolicyArn=shared)["Policy"]["DefaultVersionId"]
        count += 1
    return count
