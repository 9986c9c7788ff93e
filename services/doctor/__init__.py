"""Looks at the machine: what is there, what is missing, how to get it, and what dead runs have left behind."""

from services.doctor.check import Check, Fix, Health
from services.doctor.examination import examine, require
from services.doctor.hardware import gpu_names

__all__ = ["Check", "Fix", "Health", "examine", "gpu_names", "require"]
