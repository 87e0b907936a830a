"""Experiment files: from YAML to a validated plan of runs.

`read_experiment` gives a `Plan` of `RunSpec`, or `Problems`: everything that is wrong with the file, each
with its line. `experiment_schema` gives the JSON Schema of the files.
"""

from __future__ import annotations

from ksmlab_core.experiment.plan import Expectation, Plan, RunSpec, Step
from ksmlab_core.experiment.read import read_experiment
from ksmlab_core.experiment.schema import experiment_schema

__all__ = ["Expectation", "Plan", "RunSpec", "Step", "experiment_schema", "read_experiment"]
