"""Makes the bucket of the guide and a user for each of its roles at a moto server, prints their keys, and puts IAM in force."""

import re
import sys
import urllib.request

import boto3

url, guide = sys.argv[1:]
text = open(guide, encoding="utf-8").read()
root = {"endpoint_url": url, "region_name": "us-east-1", "aws_access_key_id": "root", "aws_secret_access_key": "root"}
boto3.client("s3", **root).create_bucket(Bucket="my-bucket")
iam = boto3.client("iam", **root)
printed = []
for role in ["Reader", "Writer", "Append-only agent"]:
    policy = re.search(rf"\n### {role}\n.*?```json\n(.*?)```", text, re.DOTALL).group(1)
    user = role.replace(" ", "-")
    iam.create_user(UserName=user)
    iam.put_user_policy(UserName=user, PolicyName="guide", PolicyDocument=policy)
    key = iam.create_access_key(UserName=user)["AccessKey"]
    printed.append(f"{role}:{key['AccessKeyId']}:{key['SecretAccessKey']}")
request = urllib.request.Request(f"{url}/moto-api/reset-auth", data=b"0", headers={"content-type": "text/plain"}, method="POST")
urllib.request.urlopen(request).read()
print(",".join(printed))
