"""What lesson 14 says of moto, which plays AWS in this process: what it refuses, what it lets pass.

Tried with moto 5.2.5. It is no extra of the package: `pip install moto boto3` elsewhere.
"""

from __future__ import annotations

import importlib.util

import pytest

pytestmark = [
    pytest.mark.nightly,
    pytest.mark.skipif(
        not (importlib.util.find_spec("moto") and importlib.util.find_spec("boto3")),
        reason="needs moto and boto3",
    ),
    pytest.mark.filterwarnings("ignore"),  # of other packages
]
ROLE = "arn:aws:iam::123456789012:role/lesson"
IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/lesson:1"


@pytest.fixture
def client(monkeypatch):
    """A function that gives a client of a service that moto plays; the keys are made up."""
    import boto3
    from moto import mock_aws

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "made-up")
    with mock_aws():
        yield lambda service: boto3.client(service, region_name="us-east-1")


def configure(sagemaker, model):
    variant = {
        "VariantName": "v", "ModelName": model, "InitialInstanceCount": 1,
        "InstanceType": "ml.m5.large",
    }  # fmt: skip
    sagemaker.create_endpoint_config(EndpointConfigName="c", ProductionVariants=[variant])


def test_it_knows_the_order_of_the_steps(client):
    from botocore.exceptions import ClientError

    sagemaker = client("sagemaker")
    with pytest.raises(ClientError, match="Could not find model"):
        configure(sagemaker, "never-made")
    with pytest.raises(ClientError, match="Could not find endpoint configuration"):
        sagemaker.create_endpoint(EndpointName="e", EndpointConfigName="never-made")


def test_it_lets_a_name_pass_and_starts_an_endpoint_without_a_container(client):
    sagemaker = client("sagemaker")
    sagemaker.create_model(
        ModelName="moby_1", ExecutionRoleArn=ROLE, PrimaryContainer={"Image": IMAGE}
    )
    configure(sagemaker, "moby_1")
    sagemaker.create_endpoint(EndpointName="e", EndpointConfigName="c")
    assert sagemaker.describe_endpoint(EndpointName="e")["EndpointStatus"] == "InService"


def test_every_request_gets_the_same_answer(client):
    def answer(endpoint, body):
        asked = client("sagemaker-runtime").invoke_endpoint(
            EndpointName=endpoint, ContentType="application/json", Body=body
        )
        return asked["Body"].read()

    assert answer("never-made", b'{"inputs": "a"}') == answer("nor-this", b"no JSON")


def test_what_adapters_need_is_not_there(client):
    with pytest.raises(NotImplementedError):
        client("sagemaker").create_inference_component(
            InferenceComponentName="a", EndpointName="e",
            Specification={"BaseInferenceComponentName": "b"},
        )  # fmt: skip
    with pytest.raises(NotImplementedError):
        client("bedrock").create_model_import_job(
            jobName="moby", importedModelName="moby", roleArn=ROLE,
            modelDataSource={"s3DataSource": {"s3Uri": "s3://b/m/"}},
        )  # fmt: skip
