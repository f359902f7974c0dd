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
from parameters import BALANCER, CERTIFICATE, EDGE_HOST, FARGATE, LOCAL, PRODUCTION, SERVICE
from refused import EDGE_ELSEWHERE, EDGE_REFUSED, REFUSED
from transform import parsed

sys.stdout.reconfigure(line_buffering=True)


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
        "staging": {"Environment": "staging"},
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
            expected = parameters.get("Environment", "dev") != "dev"
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
    # The distribution is told from the start: another one would update a part that is nested.
    distribution = {"Edge": "on", "EdgeDistribution": "E2QWRUHAPOMQZL"}
    common = {**SERVICE, **domain, "CertificateArn": CERTIFICATE, **distribution}
    estate = Estate("moves")
    estate.create(common)
    api = targets(domain)
    assert set(api) == {"A"}, api
    estate.update({**common, "FrontDoor": "alb"})
    balancer = client("elbv2").describe_load_balancers()["LoadBalancers"][0]["DNSName"].lower()
    assert targets(domain) == {"A": balancer} != api, targets(domain)
    estate.update({**common, "FrontDoor": "alb", "EdgeHost": EDGE_HOST})
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
    assert elsewhere and EDGE_ELSEWHERE in elsewhere, f"refused with {elsewhere}"
    edge = Estate("edge", "infra/edge.yaml", ".aws-sam/edge")
    for wrong, sentence in EDGE_REFUSED:
        message = edge.refusal({**parameters, **wrong})
        assert message and sentence in message, f"{wrong} was refused with {message}"
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
