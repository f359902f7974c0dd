"""Turns a SAM template into plain CloudFormation, as the transform of AWS would, without an account.

    python transform.py template.yaml [Name=value ...]     prints JSON
"""

import json
import os
import pathlib
import sys

from samcli.yamlhelper import yaml_parse
from samtranslator.translator.managed_policy_translator import ManagedPolicyLoader
from samtranslator.translator.transform import transform

# The transform wants to know a region, and does nothing with it that shows.
os.environ.setdefault("AWS_DEFAULT_REGION", "us-east-1")


class ManagedPolicies(ManagedPolicyLoader):
    """The managed policies that SAM adds by itself, by their public ARNs: nobody is asked."""

    def __init__(self):
        names = ["service-role/AWSLambdaBasicExecutionRole"]
        self._policies = {name.split("/")[-1]: f"arn:aws:iam::aws:policy/{name}" for name in names}

    def load(self):
        return self._policies


def parsed(path):
    """A template as CloudFormation reads it: `!Ref x` is {"Ref": "x"}, and so on."""
    return yaml_parse(pathlib.Path(path).read_text())


def defaults(template):
    """The default values of the parameters that have one."""
    parameters = template.get("Parameters", {})
    return {name: str(facts["Default"]) for name, facts in parameters.items() if "Default" in facts}


def plain(template, parameters, code):
    """The template after the transform.

    `code(name)` says where the package of a function is: an address `s3://bucket/key`.
    """
    if "Transform" not in template:
        return template
    template.get("Globals", {}).get("Function", {}).pop("CodeUri", None)
    for name, resource in template["Resources"].items():
        if resource["Type"] == "AWS::Serverless::Function":
            resource["Properties"]["CodeUri"] = code(name)
    return transform(template, {**defaults(template), **parameters}, ManagedPolicies())


if __name__ == "__main__":
    given = dict(pair.split("=", 1) for pair in sys.argv[2:])
    result = plain(parsed(sys.argv[1]), given, lambda name: f"s3://packages/{name}.zip")
    json.dump(result, sys.stdout, indent=2)
