"""Deploys the estate to an emulator that enforces IAM, and uses it. See scripts/check-deploy."""

import json
import os
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request

import grants
from deploy import ENDPOINT, REGION, ROOT, Estate, client
from transform import parsed

sys.stdout.reconfigure(line_buffering=True)

LOCAL = dict(
    line.split("=", 1)
    for line in (ROOT / "dev/local.env").read_text().splitlines()
    if "=" in line and not line.startswith("#")
)
CERTIFICATE = "arn:aws:acm:us-east-1:000000000000:certificate/00000000-0000-0000-0000-000000000000"
# What the golden cases expect: nobody is limited, and version 1 does not end.
SERVICE = {
    "Architecture": os.environ.get("ARCHITECTURE", "x86_64"),
    "JwtIssuer": LOCAL["JWT_ISSUER"],
    "JwtAudience": LOCAL["JWT_AUDIENCE"],
    "RateLimitFree": "1000000",
    "ApiVersions": '{"v1":{"deprecated":"2026-11-25T00:00:00Z","sunset":"2999-11-25T00:00:00Z","successor":"v2"}}',
}
DOMAIN = {"DomainName": "api.example.com", "HostedZoneId": "Z0123456789ABC"}
EDGE_HOST = "d111111abcdef8.cloudfront.net"
BALANCER = {"FrontDoor": "alb", "DomainName": "api.example.com", "CertificateArn": CERTIFICATE}
FARGATE = {**BALANCER, "Compute": "fargate", "ContainerImageTag": "v1"}
PRODUCTION = {"Environment": "production", "AlarmEmail": "on-call@example.com"}

# Combinations that make no sense, each with a part of the sentence that refuses it.
REFUSED = [
    ({"Compute": "fargate"}, "Tasks on Fargate are reached through a load balancer"),
    ({"Compute": "both"}, "Tasks on Fargate are reached through a load balancer"),
    ({"WafRequests": "1000"}, "An HTTP API takes no web ACL"),
    ({"AccessLogsBucket": "logs"}, "AccessLogsBucket is for a load balancer"),
    ({"FrontDoor": "alb"}, "A load balancer serves HTTPS only"),
    ({**BALANCER, "CertificateArn": ""}, "A domain needs a certificate"),
    ({"CertificateArn": CERTIFICATE}, "CertificateArn is for DomainName"),
    ({"DomainName": "api.example.com"}, "A domain needs a certificate"),
    ({"HostedZoneId": "Z0123456789ABC"}, "HostedZoneId is for the record of DomainName"),
    ({"JwtJwksUrl": "https://id.example.com/keys"}, "JwtJwksUrl needs JwtAlgorithm"),
    ({"JwtAlgorithm": "RS256"}, "JwtAlgorithm goes with JwtJwksUrl"),
    (
        {**FARGATE, "JwtJwksUrl": "https://id.example.com/keys", "JwtAlgorithm": "RS256"},
        "through a NAT gateway only",
    ),
    (
        {
            "JwtJwksUrl": "https://id.example.com/keys",
            "JwtAlgorithm": "RS256",
            "RotationFunctionArn": "arn:aws:lambda:us-east-1:000000000000:function:rotate",
        },
        "there is no secret that RotationFunctionArn could rotate",
    ),
    ({"RotationDays": "60"}, "RotationDays goes with RotationFunctionArn"),
    (
        {"BackendUsersUrl": "https://users.internal", "RestoredUsersTable": "users-restored"},
        "With BackendUsersUrl nobody reads a table of users",
    ),
    (
        {"BackendProductsUrl": "https://products.internal", "RestoredProductsTable": "products-restored"},
        "With BackendProductsUrl nobody reads a table of products",
    ),
    ({"Nat": "on"}, "Functions run outside of the VPC"),
    ({"Postgres": "on"}, "Functions run outside of the VPC"),
    ({"Redis": "on"}, "Functions run outside of the VPC"),
    ({"NightsOff": "on"}, "Functions cost nothing at night"),
    ({"ContainerImageTag": "v1"}, "What starts with Container is for tasks"),
    ({"ContainerSize": "Large"}, "What starts with Container is for tasks"),
    ({"TimeZone": "Asia/Tokyo"}, "TimeZone is for the schedules of tasks"),
    ({**FARGATE, "ReservedConcurrency": "50"}, "are for functions. Tasks have ContainerScale"),
    ({**FARGATE, "ProvisionedConcurrency": "1"}, "are for functions. Tasks have ContainerScale"),
    ({**FARGATE, "DeploymentPreference": "Canary10Percent5Minutes"}, "are for functions. Tasks have ContainerScale"),
    ({**FARGATE, "MemorySize": "512"}, "are for functions. Tasks have ContainerSize"),
    ({**FARGATE, "ThumbnailsMemorySize": "1024"}, "are for functions. Tasks have ContainerSize"),
    ({**BALANCER, "Compute": "fargate"}, "Without an image there would be nobody to answer"),
    ({"FargateShare": "10"}, "FargateShare goes with Compute=both"),
    ({**BALANCER, "Compute": "both", "FargateShare": "10"}, "There are no tasks to take a FargateShare"),
    ({**BALANCER, "Compute": "both", "ContainerDeployment": "ECSAllAtOnce"}, "would undo FargateShare"),
    ({**PRODUCTION, "AlarmEmail": ""}, "somebody has to be told of alarms"),
    ({**PRODUCTION, **FARGATE, "NightsOff": "on"}, "NightsOff would stop production"),
    ({**PRODUCTION, **FARGATE, "ContainerScale": "single"}, "A single task is an outage"),
    ({"ReservedConcurrency": "10", "ProvisionedConcurrency": "20"}, "more than ReservedConcurrency, 10"),
    ({"ReservedConcurrency": "20", "ProvisionedConcurrency": "50"}, "more than ReservedConcurrency, 20"),
    ({"ReservedConcurrency": "50", "ProvisionedConcurrency": "100"}, "more than ReservedConcurrency, 50"),
    (
        {**BALANCER, "Compute": "both", "ContainerImageTag": "v1", "FargateShare": "10", "NightsOff": "on"},
        "nobody at night to answer a FargateShare",
    ),
    ({"EdgeDistribution": "E2QWRUHAPOMQZL"}, "EdgeDistribution goes with Edge=on"),
    ({"EdgeHost": EDGE_HOST}, "EdgeHost goes with Edge=on"),
    (
        {**BALANCER, "Edge": "on", "EdgeDistribution": "E2QWRUHAPOMQZL", "EdgeHost": EDGE_HOST},
        "EdgeHost is where the domain's record leads",
    ),
    ({**DOMAIN, "Edge": "on", "EdgeHost": EDGE_HOST}, "Where EdgeHost is known, EdgeDistribution is as well"),
    ({"Originals": "on"}, "Originals goes with Edge=on"),
    ({"Edge": "on"}, "CloudFront passes the Host on"),
    (
        {**BALANCER, **DOMAIN, "Edge": "on", "WafRequests": "1000"},
        "would count CloudFront's own addresses",
    ),
    # Out of range.
    ({"MemorySize": "127"}, "whole number of MB from 128 to 10240"),
    ({"MemorySize": "10241"}, "whole number of MB from 128 to 10240"),
    ({"MemorySize": "256.5"}, "whole number of MB from 128 to 10240"),
    ({"ThumbnailsMemorySize": "511"}, "whole number of MB from 512 to 10240"),
    ({"ThumbnailsMemorySize": "1769.5"}, "whole number of MB from 512 to 10240"),
    ({"RotationDays": "1001"}, "whole number of days from 1 to 1000"),
    ({"RotationDays": "30.5"}, "whole number of days from 1 to 1000"),
    ({"RateLimitFree": "0"}, "whole number of requests"),
    ({"RateLimitFree": "1.5"}, "whole number of requests"),
    ({"RateLimitPremium": "5000000000"}, "whole number of requests"),
    ({"SyncRetentionSeconds": "69"}, "whole number of seconds from 70"),
    ({"SyncRetentionSeconds": "100.5"}, "whole number of seconds from 70"),
    ({"LogRetentionDays": "2"}, "LogRetentionDays"),
    ({"LogLevel": "error"}, "LogLevel"),
    ({**BALANCER, "WafRequests": "9"}, "must be a number from 10"),
    ({"ApiVersions": "v1"}, "must be a JSON object"),
    ({"BackendUsersUrl": "https://me@users.internal"}, "must be a web address"),
    ({"JwtIssuer": ""}, "JwtIssuer"),
    ({"AlarmEmail": "nobody"}, "must be an e-mail address"),
    ({"DomainName": "API"}, "must be a domain name"),
    ({"EdgeHost": "api.example.com"}, "must be CloudFront's own name"),
    ({"JwtJwksUrl": "http://id.example.com"}, "must be an address that starts with https://"),
    ({"ContainerImageTag": "a b"}, "must be a tag of an image"),
    ({"RestoredOrdersTable": "a b"}, "must be the name of a table"),
    ({"TimeZone": "Mars/Foo"}, "TimeZone"),
]


def step(text):
    """Says what comes next."""
    print(f"-- {text}")


def check_refusals():
    """What makes no sense is refused before anything is made."""
    estate = Estate("refused")
    for parameters, sentence in REFUSED:
        message = estate.refusal({**SERVICE, **parameters})
        assert message and sentence in message, f"{parameters} was refused with {message}"
    assert not client("cloudformation").list_stacks()["StackSummaries"], "a refused stack left something behind"


def own_domain():
    """The parameters of a domain whose zone is in the account."""
    zones = client("route53").list_hosted_zones()["HostedZones"]
    if not zones:
        zones = [client("route53").create_hosted_zone(Name="example.com", CallerReference="check")["HostedZone"]]
    return {"DomainName": "api.example.com", "HostedZoneId": zones[0]["Id"].rsplit("/", 1)[-1]}


def widgets(estate):
    """The titles of what the dashboard shows."""
    dashboard = client("cloudwatch").get_dashboard(DashboardName=f"{estate.name}-{REGION}")["DashboardBody"]
    return [widget["properties"]["title"] for widget in json.loads(dashboard)["widgets"]]


def check_kinds():
    """Every way to deploy comes to CREATE_COMPLETE, and leaves nothing behind but what it is told to."""
    domain = own_domain()
    kinds = {
        "production": {**PRODUCTION, "DeploymentPreference": "Canary10Percent5Minutes", "ReservedConcurrency": "50"},
        "edge": {**domain, "Edge": "on", "SignedImages": "on", "OAuthClientSecret": "on", "ProvisionedConcurrency": "1"},
        "fargate": {**FARGATE, **domain, "NightsOff": "on", "TimeZone": "Asia/Tokyo", "Nat": "on"},
        "green": {
            **PRODUCTION,
            **FARGATE,
            "ContainerDeployment": "ECSCanary10Percent5Minutes",
            "Postgres": "on",
            "Redis": "on",
            "WafRequests": "2000",
        },
        "keys": {"JwtJwksUrl": "https://id.example.com/keys", "JwtAlgorithm": "ES256"},
    }
    for name, parameters in kinds.items():
        estate = Estate(f"kind-{name}")
        estate.create({**SERVICE, **parameters})
        compute = parameters.get("Compute", "lambda")
        shown = {title.split(":")[0] for title in widgets(estate)}
        assert ("Functions" in shown, "Tasks" in shown) == (compute != "fargate", compute != "lambda"), shown
        tables = [table for table in client("dynamodb").list_tables()["TableNames"] if table.startswith(f"kind-{name}-")]
        for table in tables:
            facts = client("dynamodb").describe_table(TableName=table)["Table"]
            expected = parameters.get("Environment", "dev") == "production"
            assert facts["DeletionProtectionEnabled"] == expected, f"{table}: {facts['DeletionProtectionEnabled']}"
            client("dynamodb").update_table(TableName=table, DeletionProtectionEnabled=False)
        estate.delete()


def targets(domain):
    """Where the records of a domain lead to, by their types."""
    records = client("route53").list_resource_record_sets(HostedZoneId=domain["HostedZoneId"])["ResourceRecordSets"]
    aliases = [record for record in records if "AliasTarget" in record]
    return {record["Type"]: record["AliasTarget"]["DNSName"].rstrip(".").lower() for record in aliases}


def check_moves():
    """What is one switch in the parameters is one deployment: the front door, CloudFront."""
    domain = own_domain()
    common = {**SERVICE, **domain, "CertificateArn": CERTIFICATE, "Edge": "on"}
    estate = Estate("moves")
    estate.create(common)
    api = targets(domain)
    assert set(api) == {"A"}, api
    estate.update({**common, "FrontDoor": "alb"})
    balancer = client("elbv2").describe_load_balancers()["LoadBalancers"][0]["DNSName"].lower()
    assert targets(domain) == {"A": balancer} != api, targets(domain)
    estate.update({**common, "FrontDoor": "alb", "EdgeDistribution": "E2QWRUHAPOMQZL", "EdgeHost": EDGE_HOST})
    assert targets(domain) == {"A": EDGE_HOST, "AAAA": EDGE_HOST}, targets(domain)
    estate.update({**common, "FrontDoor": "alb"})
    assert targets(domain) == {"A": balancer}, targets(domain)
    estate.delete()
    assert not targets(domain), targets(domain)


def alone(path, given):
    """Values for all parameters of a part that stands alone: the first that is allowed, where nothing else is given."""
    values = {}
    for name, facts in parsed(ROOT / path)["Parameters"].items():
        anything = "1" if facts["Type"] == "Number" else "none"
        values[name] = given.get(name, facts.get("AllowedValues", [anything])[0])
    return values


def check_parts():
    """The emulator updates no stack that is nested, so these stand alone: a new image, and a restored table."""
    path = "infra/container.yaml"
    tasks = Estate("tasks", path)
    given = {"TimeZone": "UTC", "Prefix": "tasks", "Namespace": "MobileBff/tasks"}
    tasks.create(alone(path, {**given, "ImageTag": "v1"}))
    before = tasks.outputs()["TaskDefinition"]
    tasks.update(alone(path, {**given, "ImageTag": "v2"}))
    kept = client("ecs").describe_task_definition(taskDefinition=before)["taskDefinition"]["status"]
    assert (kept, tasks.outputs()["TaskDefinition"] != before) == ("ACTIVE", True), f"{before} is {kept}"
    tasks.delete()

    path = "infra/data.yaml"
    data = Estate("data", path)
    given = {"Prefix": "data", "Region": "us-east-1", "RestoredUsersTable": "", "RestoredProductsTable": ""}
    own = alone(path, {**given, "RestoredOrdersTable": ""})
    data.create(own)
    before = data.outputs()
    data.update({**own, "RestoredOrdersTable": "orders-restored"})
    after = data.outputs()
    changed = {name: after[name] for name in after if after[name] != before[name]}
    arn = before["OrdersTableArn"].rsplit("/", 1)[0] + "/orders-restored"
    assert changed == {"OrdersTable": "orders-restored", "OrdersTableArn": arn}, changed
    assert before["OrdersTable"] in client("dynamodb").list_tables()["TableNames"], "the old table stays"
    data.delete()


def check_edge():
    """The edge stack, with what `sam build` has made of its function."""
    client("secretsmanager").create_secret(Name="kind/origin-secret", SecretString="s" * 64)
    parameters = {
        **own_domain(),
        "OriginHost": "Mobile-Balan-1LYDFGU1DZKIY.us-east-1.elb.amazonaws.com",
        "OriginSecret": "kind/origin-secret",
        "ThumbnailsHost": "thumbnails.example.com",
        "ImagesBucket": "pictures",
        "ImagesBucketDomain": "pictures.s3.amazonaws.com",
        "Originals": "on",
        "WafRequests": "2000",
    }
    elsewhere = Estate("edge", "infra/edge.yaml", ".aws-sam/edge", region="eu-central-1").refusal(parameters)
    assert elsewhere and "Lambda@Edge lives in us-east-1" in elsewhere, f"refused with {elsewhere}"
    edge = Estate("edge", "infra/edge.yaml", ".aws-sam/edge")
    edge.create(parameters)
    facts = client("cloudfront").get_distribution_config(Id=edge.outputs()["EdgeDistribution"])["DistributionConfig"]
    shown = {header["HeaderName"]: header["HeaderValue"] for header in facts["Origins"]["Items"][0]["CustomHeaders"]["Items"]}
    assert shown == {"X-Origin-Verify": "s" * 64}, "the secret that CloudFront shows"
    viewer = client("cloudfront").get_function(Name="edge-viewer", Stage="LIVE")["FunctionCode"].read().decode()
    assert viewer == (ROOT / "target/edge/viewer.js").read_text(), "the CloudFront Function is not viewer.js"
    edge.delete()
    client("secretsmanager").delete_secret(SecretId="kind/origin-secret", ForceDeleteWithoutRecovery=True)


def load_secrets(estate):
    """The secrets of local development, so that tokens can be written down in the cases."""
    for name, variable in [("jwt-secret", "JWT_SECRET"), ("sync-secret", "SYNC_SECRET")]:
        client("secretsmanager").put_secret_value(SecretId=f"{estate.name}/{name}", SecretString=LOCAL[variable])


def load_photos(bucket):
    """The photos that the cases ask for, from the stand-in of `cargo dev`."""
    keys = ["products/p-0001.jpg", "products/p-0002.jpg", "avatars/user-1.jpg"]
    dev = subprocess.Popen([ROOT / "target/debug/dev", "db", "--port", "0"], stdout=subprocess.PIPE, text=True)
    try:
        for line in dev.stdout:
            if line.startswith("S3 with the photos: "):
                address = line.split(": ", 1)[1].strip()
                break
        for key in keys:
            url = f"{address}/{LOCAL['IMAGES_BUCKET']}/{key}"
            photo = urllib.request.Request(url, headers={"authorization": "AWS4-HMAC-SHA256 Credential=local"})
            client("s3").put_object(Bucket=bucket, Key=key, Body=urllib.request.urlopen(photo).read())
    finally:
        dev.kill()
        dev.wait()


def copy_rows(source, target):
    """What is in the tables of one estate, into those of another."""
    dynamodb = client("dynamodb")
    for setting, table in tables_of(source).items():
        for page in dynamodb.get_paginator("scan").paginate(TableName=table):
            for item in page["Items"]:
                dynamodb.put_item(TableName=tables_of(target)[setting], Item=item)


def tables_of(estate):
    """The names of the tables, by the setting that holds them."""
    found = estate.resources()
    names = {"USERS_TABLE": "Users", "PRODUCTS_TABLE": "Products", "ORDERS_TABLE": "Orders", "RATE_LIMIT_TABLE": "RateLimit"}
    return {setting: found[f"Data.{name}Table"] for setting, name in names.items()}


def check_cases(estate, door, origin, host):
    """The golden cases of every route group, through the deployed front door."""
    facts = {"endpoint": ENDPOINT, "origin": origin, "host": host, "door": door, "tables": tables_of(estate)}
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(facts, file)
        file.flush()
        subprocess.run(
            ["cargo", "test", "--quiet", "--package", "tests", "--locked", "--test", "suite", "--", "deployed"],
            cwd=ROOT,
            env={**os.environ, "DEPLOYED_ESTATE": file.name},
            check=True,
        )


def main():
    """All checks, on one emulator."""
    step("what makes no sense is refused")
    check_refusals()
    step("every way to deploy comes to CREATE_COMPLETE")
    check_kinds()
    check_edge()
    step("a switch is one deployment")
    check_moves()
    check_parts()

    estate = Estate("bff")
    step("create, with an HTTP API")
    estate.create(SERVICE)
    load_secrets(estate)
    load_photos(estate.outputs()["ImagesBucket"])
    api = estate.resources()["HttpApi.HttpApi"]
    step("golden cases through the HTTP API")
    check_cases(estate, "HTTP API", f"{ENDPOINT}/_aws/execute-api/{api}/$default", "localhost")

    step("update, to a load balancer with functions and tasks")
    estate.update({**SERVICE, **BALANCER, "Compute": "both", "ContainerImageTag": "v1"})
    balancer = client("elbv2").describe_load_balancers()["LoadBalancers"][0]
    register_targets(estate)
    step("golden cases through the load balancer")
    # The port in `Host` is the listener's.
    check_cases(estate, "load balancer", f"{ENDPOINT}/_alb/{balancer['LoadBalancerName']}", "localhost:443")
    redirect = urllib.request.Request(f"{ENDPOINT}/_alb/{balancer['LoadBalancerName']}/health", headers={"host": "localhost:80"})
    try:
        urllib.request.build_opener(NoRedirect).open(redirect)
        raise SystemExit("port 80 should redirect")
    except urllib.error.HTTPError as error:
        assert (error.code, error.headers["location"].split(":")[0]) == (301, "https"), error.headers

    step("each grant taken away, where all of them are")
    rights = Estate("rights")
    rights.create({**SERVICE, **BALANCER, "Edge": "on", "SignedImages": "on"})
    load_secrets(rights)
    load_photos(rights.outputs()["ImagesBucket"])
    copy_rows(estate, rights)
    register_targets(rights)
    bearer = grants.token(LOCAL["JWT_SECRET"], LOCAL["JWT_ISSUER"], LOCAL["JWT_AUDIENCE"])
    found = rights.resources()
    balancers = client("elbv2").describe_load_balancers(LoadBalancerArns=[found["Balancer.LoadBalancer"]])
    name = balancers["LoadBalancers"][0]["LoadBalancerName"]
    door = grants.Door(f"{ENDPOINT}/_alb/{name}", "localhost:443", bearer)
    count = grants.check(found, door)
    print(f"   {count} grants, and none of them can be missing")

    step("delete")
    rights.delete()
    estate.delete()
    left = client("lambda").list_functions()["Functions"] + client("dynamodb").list_tables()["TableNames"]
    assert not left, f"the stack has left behind {left}"
    print("The estate deploys, answers, and needs every right that it has.")


class NoRedirect(urllib.request.HTTPRedirectHandler):
    """Leaves a redirect as it is."""

    def redirect_request(self, *_):
        return None


def register_targets(estate):
    """Does what CloudFormation does with `Targets`, which the emulator ignores."""
    template = parsed(ROOT / "infra/balancer.yaml")
    found = estate.resources()
    for name, resource in template["Resources"].items():
        for target in resource.get("Properties", {}).get("Targets", []):
            function = target["Id"]["Ref"]
            client("elbv2").register_targets(
                TargetGroupArn=found[f"Balancer.{name}"], Targets=[{"Id": found[f"{function}Aliaslive"]}]
            )


if __name__ == "__main__":
    main()
