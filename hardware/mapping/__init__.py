"""Where a network fits on a chip, and what it costs there. Needs NumPy only; target files are read by ``hypr``."""

from hardware.mapping.activity import Activity
from hardware.mapping.cost import Cost, Counts, Estimate, cost_of
from hardware.mapping.limits import CONFIDENCES, LIMITS, Energy, Figures, Limit, Target, Time
from hardware.mapping.neurobench import metrics
from hardware.mapping.plan import Plan, describe, make_plan, planners_assumptions, with_activity
from hardware.mapping.violations import Violation

__all__ = [
    "CONFIDENCES",
    "LIMITS",
    "Activity",
    "Cost",
    "Counts",
    "Energy",
    "Estimate",
    "Figures",
    "Limit",
    "Plan",
    "Target",
    "Time",
    "Violation",
    "cost_of",
    "describe",
    "make_plan",
    "metrics",
    "planners_assumptions",
    "with_activity",
]
