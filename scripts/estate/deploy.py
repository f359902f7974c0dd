"""Deploys the estate to an AWS emulator, as `sam deploy` would to AWS.

The templates go through SAM's transform. What the emulator refuses is left out, by type and by nothing else, and is
listed in docs/deployment.md; a type that is neither refused nor taken fails the deployment.
"""

import hashlib
import io
import json
import os
import pathlib
import zipfile

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError, WaiterError

from transform import parsed, plain

ROOT = pathlib.Path(__file__).resolve().parents[2]
ENDPOINT = os.environ["AWS_EMULATOR_URL"]
REGION = "us-east-1"
BUCKET = "packages"

# What the emulator cannot make. A test compares this with the list in docs/deployment.md.
REFUSED = [
    "AWS::ApplicationAutoScaling::ScalableTarget",
    "AWS::ApplicationAutoScaling::ScalingPolicy",
    "AWS::CodeDeploy::Application",
    "AWS::CodeDeploy::DeploymentGroup",
    "AWS::EC2::EIP",
    "AWS::EC2::NatGateway",
    "AWS::EC2::SecurityGroupEgress",
    "AWS::EC2::SecurityGroupIngress",
    "AWS::ECS::ClusterCapacityProviderAssociations",
    "AWS::Logs::QueryDefinition",
    "AWS::SecretsManager::RotationSchedule",
    "AWS::WAFv2::WebACLAssociation",
]


def client(service, region=REGION):
    """A client of the emulator, as the administrator of the account."""
    return boto3.client(
        service,
        endpoint_url=ENDPOINT,
        region_name=region,
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=Config(retries={"max_attempts": 0}, s3={"addressing_style": "path"}),
    )


def refused(resource):
    """Whether the emulator cannot make a resource: by its type, or since it is an alarm with metric math."""
    has_math = resource["Type"] == "AWS::CloudWatch::Alarm" and "Metrics" in resource["Properties"]
    return has_math or resource["Type"] in REFUSED


def without_refused(template):
    """The template without the resources that the emulator refuses, and without what names them."""
    gone = {name for name, resource in template["Resources"].items() if refused(resource)}
    template["Resources"] = {n: r for n, r in template["Resources"].items() if n not in gone}
    for resource in template["Resources"].values():
        # The alias is moved at once, since nobody is there to move it step by step.
        resource.get("UpdatePolicy", {}).pop("CodeDeployLambdaAliasUpdate", None)
        waits = resource.get("DependsOn", [])
        waits = [waits] if isinstance(waits, str) else waits
        resource["DependsOn"] = [name for name in waits if name not in gone]

        # The emulator speaks HTTP, which a bucket's policy refuses.
        policy = resource.get("Properties", {}).get("PolicyDocument", {})
        if resource["Type"] == "AWS::S3::BucketPolicy":
            policy["Statement"] = [part for part in policy["Statement"] if part.get("Sid") != "TlsOnly"]

    def names_gone(value):
        if isinstance(value, dict):
            target = value.get("Ref") or value.get("Fn::GetAtt", [None])
            target = target[0] if isinstance(target, list) else target
            return target in gone or any(names_gone(part) for part in value.values())
        return isinstance(value, list) and any(names_gone(part) for part in value)

    for resource in template["Resources"].values():
        properties = resource.get("Properties", {})
        for name in [name for name, value in properties.items() if names_gone(value)]:
            del properties[name]
    outputs = template.get("Outputs", {})
    template["Outputs"] = {name: value for name, value in outputs.items() if not names_gone(value)}
    return template


def package(folder):
    """A zip of what `sam build` has put into a folder."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for path in sorted(folder.iterdir()):
            entry = zipfile.ZipInfo(path.name)
            entry.external_attr = 0o755 << 16
            archive.writestr(entry, path.read_bytes())
    return file.getvalue()


class Estate:
    """One stack, with the templates and packages that it is made of."""

    def __init__(self, name, template="template.yaml", build=".aws-sam/build", region=REGION):
        self.name = name
        self.template = template
        self.build = ROOT / build
        self.cloudformation = client("cloudformation", region)
        self.s3 = client("s3")
        self.s3.create_bucket(Bucket=BUCKET)

    def _put(self, content, extension):
        key = hashlib.sha256(content).hexdigest() + extension
        self.s3.put_object(Bucket=BUCKET, Key=key, Body=content)
        return key

    def _code(self, function):
        return f"s3://{BUCKET}/{self._put(package(self.build / function), '.zip')}"

    def _include(self, value, folder):
        """Puts files that a template includes where CloudFormation can read them."""
        if isinstance(value, dict):
            include = value.get("Fn::Transform", {})
            if isinstance(include, dict) and include.get("Name") == "AWS::Include":
                file = (folder / include["Parameters"]["Location"]).resolve()
                include["Parameters"]["Location"] = f"s3://{BUCKET}/{self._put(file.read_bytes(), file.suffix)}"
        for part in value.values() if isinstance(value, dict) else value if isinstance(value, list) else []:
            self._include(part, folder)

    def _url(self, path, parameters=None):
        template = plain(parsed(ROOT / path), parameters or {}, self._code)
        self._include(template, (ROOT / path).parent)
        for resource in template["Resources"].values():
            if resource["Type"] == "AWS::CloudFormation::Stack":
                nested = resource["Properties"]["TemplateURL"]
                resource["Properties"]["TemplateURL"] = self._url(nested)
        body = json.dumps(without_refused(template)).encode()
        return f"{ENDPOINT}/{BUCKET}/{self._put(body, '.json')}"

    def _request(self, parameters):
        return {
            "StackName": self.name,
            "TemplateURL": self._url(self.template, parameters),
            "Parameters": [{"ParameterKey": n, "ParameterValue": v} for n, v in parameters.items()],
            "Capabilities": ["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"],
        }

    def _finish(self, what):
        try:
            self.cloudformation.get_waiter(f"stack_{what}_complete").wait(
                StackName=self.name, WaiterConfig={"Delay": 1, "MaxAttempts": 300}
            )
        except WaiterError as error:
            raise SystemExit(f"{self.name}: {error}\n" + "\n".join(self.failures())) from error

    def failures(self):
        """Why a deployment has failed, by the resource."""
        for stack in self.cloudformation.list_stacks()["StackSummaries"]:
            for event in self.cloudformation.describe_stack_events(StackName=stack["StackId"])["StackEvents"]:
                if "FAILED" in event["ResourceStatus"] or "ROLLBACK" in event["ResourceStatus"]:
                    reason = event.get("ResourceStatusReason", "")
                    yield f"  {event['StackName']} {event['LogicalResourceId']} {event['ResourceStatus']}: {reason}"

    def create(self, parameters):
        """Until CREATE_COMPLETE."""
        self.cloudformation.create_stack(**self._request(parameters))
        self._finish("create")

    def update(self, parameters):
        """Until UPDATE_COMPLETE."""
        self.cloudformation.update_stack(**self._request(parameters))
        self._finish("update")

    def delete(self):
        """Until DELETE_COMPLETE."""
        self.cloudformation.delete_stack(StackName=self.name)
        self._finish("delete")

    def refusal(self, parameters):
        """What a deployment is refused with before it begins; None when it is not."""
        try:
            self.cloudformation.create_stack(**self._request(parameters))
        except ClientError as error:
            return error.response["Error"]["Message"]
        return None

    def outputs(self):
        """The outputs, by name."""
        stack = self.cloudformation.describe_stacks(StackName=self.name)["Stacks"][0]
        return {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}

    def resources(self):
        """Physical ids of this stack and its nested ones, by `Stack.LogicalId`."""
        found = {}
        for resource in self.cloudformation.describe_stack_resources(StackName=self.name)["StackResources"]:
            logical, physical = resource["LogicalResourceId"], resource.get("PhysicalResourceId", "")
            found[logical] = physical
            if resource["ResourceType"] == "AWS::CloudFormation::Stack":
                inner = self.cloudformation.describe_stack_resources(StackName=physical)["StackResources"]
                for part in inner:
                    found[f"{logical}.{part['LogicalResourceId']}"] = part.get("PhysicalResourceId", "")
        return found
