"""The provider APIs, locally: built from the vendors' documents alone, with faults on request."""

from router.sandbox.api import SandboxDestination
from router.sandbox.credentials import fake_credentials
from router.sandbox.fault import Fault, FaultKind, parse_fault
from router.sandbox.sandbox import Sandbox
from router.sandbox.server import RecordedCall

__all__ = ["Fault", "FaultKind", "RecordedCall", "Sandbox", "SandboxDestination", "fake_credentials", "parse_fault"]
