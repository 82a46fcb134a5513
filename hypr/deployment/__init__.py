"""From a run to bundles and numbers: export, import, engines, accuracies, the demo."""
