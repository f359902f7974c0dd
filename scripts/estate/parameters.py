"""Parameters that several checks deploy with."""

import os

from deploy import ROOT

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
