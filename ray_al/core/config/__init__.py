"""The typed configuration of a run, one module per section.

Unknown keys are refused with the nearest known one; every message names the key, the value seen and
the remedy.
"""

from ray_al.core.config.budget import BudgetConfig
from ray_al.core.config.data import DataConfig, FeaturesConfig
from ray_al.core.config.final import CYCLE_KEYS, FINAL_KEYS, GROUP_KEYS, FinalConfig
from ray_al.core.config.loading import (
    apply_setting,
    load_config,
    parse_config,
    parse_override,
    parse_yaml,
    read_yaml,
    split_key,
)
from ray_al.core.config.paths import absolute, folder_of, make_absolute
from ray_al.core.config.run import ClusterConfig, ReportConfig, RunConfig
from ray_al.core.config.scoring import ScoringConfig
from ray_al.core.config.train import TrainConfig
from ray_al.core.config.training_parts import (
    AugmentConfig,
    AutoSteps,
    BalancedWeights,
    BatchNormConfig,
)
from ray_al.core.config.values import Amount, Amounts, parse_share

__all__ = [
    "CYCLE_KEYS",
    "FINAL_KEYS",
    "GROUP_KEYS",
    "Amount",
    "Amounts",
    "AugmentConfig",
    "AutoSteps",
    "BalancedWeights",
    "BatchNormConfig",
    "BudgetConfig",
    "ClusterConfig",
    "DataConfig",
    "FeaturesConfig",
    "FinalConfig",
    "ReportConfig",
    "RunConfig",
    "ScoringConfig",
    "TrainConfig",
    "absolute",
    "apply_setting",
    "folder_of",
    "load_config",
    "make_absolute",
    "parse_config",
    "parse_override",
    "parse_share",
    "parse_yaml",
    "read_yaml",
    "split_key",
]
