"""Name YAHPO Gym's learners, objectives and data sets in words, for task cards and tables.

``lcbench`` counts data sets by OpenML *task* (Zimmer, Lindauer & Hutter, TPAMI 2021). ``rbv2`` and ``iaml``
count them by OpenML *data set*, whatever their hyperparameter is called (YAHPO Gym's frequently asked
questions). An identifier that is not listed is shown as it is.
"""

from __future__ import annotations

LEARNERS = {
    "lcbench": "funnel-shaped multilayer perceptron (Auto-PyTorch, trained with SGD)",
    "nb301": "convolutional network built of DARTS cells (NAS-Bench-301)",
    "svm": "support vector machine (R package e1071)",
    "ranger": "random forest (R package ranger)",
    "rpart": "decision tree (R package rpart)",
    "glmnet": "elastic net (R package glmnet)",
    "xgboost": "gradient boosting (R package xgboost)",
    "aknn": "approximate k-nearest neighbours (R package RcppHNSW)",
    "super": "choice of a learner together with its hyperparameters",
}
"""Learners by scenario, or by the part of its name that follows ``rbv2_`` or ``iaml_``."""

OBJECTIVES = {
    "val_accuracy": "validation accuracy in per cent",
    "val_cross_entropy": "validation cross-entropy",
    "val_balanced_accuracy": "balanced validation accuracy",
    "test_cross_entropy": "test cross-entropy",
    "test_balanced_accuracy": "balanced test accuracy",
    "time": "seconds of training",
    "runtime": "seconds of training",
    "acc": "accuracy",
    "bac": "balanced accuracy",
    "auc": "area under the ROC curve",
    "brier": "Brier score",
    "f1": "F1 score (rbv2: 0 where there are more than two classes)",
    "logloss": "logarithmic loss",
    "mmce": "misclassification rate",
    "timetrain": "seconds of training",
    "timepredict": "seconds of prediction",
    "memory": "MB of memory (rbv2: a coarse estimate, 0 where it was not logged)",
    "ramtrain": "MB of memory in training",
    "rammodel": "MB of memory of the model",
    "rampredict": "MB of memory in prediction",
    "mec": "complexity of the main effects",
    "ias": "strength of the interactions",
    "nf": "number of features used",
}

TEST_COUNTERPARTS = {
    "val_cross_entropy": "test_cross_entropy",
    "val_balanced_accuracy": "test_balanced_accuracy",
}
"""The test counterparts of lcbench's objectives.

lcbench has no test accuracy, so that ``val_accuracy`` has no counterpart.
"""

FIDELITIES = {
    "epoch": "epochs of training",
    "trainsize": "share of the training data",
    "repl": "repetitions of the resampling",
}

USEFUL_RANGES = {("lcbench", "epoch"): (2.0, 51.0)}
"""The ranges that a multi-fidelity method should vary, if they are narrower than the legal ones.

Epoch 1 of lcbench is the untrained network, and epoch 52 mostly repeats epoch 51 (YAHPO Gym's frequently
asked questions).
"""

RESUMABLE = frozenset({"epoch"})
"""The fidelities with resumable training: it can go on from a lower value.

With more data or other splits, training starts anew.
"""


def dataset(scenario: str, instance: str) -> str:
    """Return a data set's real name with its identifier, or its identifier alone."""
    if scenario == "nb301":
        return "CIFAR-10"
    kind, names = ("task", _TASKS) if scenario == "lcbench" else ("data set", _DATA_SETS)
    return (
        f"{names[instance]} (OpenML {kind} {instance})" if instance in names else f"OpenML {kind} {instance}"
    )


_TASKS = {
    "3945": "KDDCup09_appetency",
    "7593": "covertype",
    "34539": "Amazon_employee_access",
    "126025": "adult",
    "126026": "nomao",
    "126029": "bank-marketing",
    "146212": "shuttle",
    "167104": "Australian",
    "167149": "kr-vs-kp",
    "167152": "mfeat-factors",
    "167161": "credit-g",
    "167168": "vehicle",
    "167181": "kc1",
    "167184": "blood-transfusion-service-center",
    "167185": "cnae-9",
    "167190": "phoneme",
    "167200": "higgs",
    "167201": "connect-4",
    "168329": "helena",
    "168330": "jannis",
    "168331": "volkert",
    "168335": "MiniBooNE",
    "168868": "APSFailure",
    "168908": "christine",
    "168910": "fabert",
    "189354": "airlines",
    "189862": "jasmine",
    "189865": "sylvine",
    "189866": "albert",
    "189873": "dionis",
    "189905": "car",
    "189906": "segment",
    "189908": "Fashion-MNIST",
    "189909": "jungle_chess_2pcs_raw_endgame_complete",
}

_DATA_SETS = {
    "3": "kr-vs-kp",
    "6": "letter",
    "11": "balance-scale",
    "12": "mfeat-factors",
    "14": "mfeat-fourier",
    "15": "breast-w",
    "16": "mfeat-karhunen",
    "18": "mfeat-morphological",
    "22": "mfeat-zernike",
    "23": "cmc",
    "24": "mushroom",
    "28": "optdigits",
    "29": "credit-approval",
    "31": "credit-g",
    "32": "pendigits",
    "37": "diabetes",
    "38": "sick",
    "42": "soybean",
    "44": "spambase",
    "46": "splice",
    "50": "tic-tac-toe",
    "54": "vehicle",
    "60": "waveform-5000",
    "151": "electricity",
    "181": "yeast",
    "182": "satimage",
    "188": "eucalyptus",
    "300": "isolet",
    "307": "vowel",
    "312": "scene",
    "334": "monks-problems-2",
    "375": "JapaneseVowels",
    "377": "synthetic_control",
    "458": "analcatdata_authorship",
    "469": "analcatdata_dmft",
    "470": "profb",
    "554": "mnist_784",
    "1040": "sylva_prior",
    "1049": "pc4",
    "1050": "pc3",
    "1053": "jm1",
    "1056": "mc1",
    "1063": "kc2",
    "1067": "kc1",
    "1068": "pc1",
    "1111": "KDDCup09_appetency",
    "1220": "Click_prediction_small",
    "1457": "amazon-commerce-reviews",
    "1461": "bank-marketing",
    "1462": "banknote-authentication",
    "1464": "blood-transfusion-service-center",
    "1468": "cnae-9",
    "1475": "first-order-theorem-proving",
    "1476": "gas-drift",
    "1478": "har",
    "1479": "hill-valley",
    "1480": "ilpd",
    "1485": "madelon",
    "1486": "nomao",
    "1487": "ozone-level-8hr",
    "1489": "phoneme",
    "1493": "one-hundred-plants-texture",
    "1494": "qsar-biodeg",
    "1497": "wall-robot-navigation",
    "1501": "semeion",
    "1510": "wdbc",
    "1515": "micro-mass",
    "1590": "adult",
    "4134": "Bioresponse",
    "4135": "Amazon_employee_access",
    "4154": "CreditCardSubset",
    "4534": "PhishingWebsites",
    "4538": "GesturePhaseSegmentationProcessed",
    "4541": "Diabetes130US",
    "6332": "cylinder-bands",
    "23381": "dresses-sales",
    "23512": "higgs",
    "23517": "numerai28.6",
    "40496": "LED-display-domain-7digit",
    "40498": "wine-quality-white",
    "40499": "texture",
    "40536": "SpeedDating",
    "40668": "connect-4",
    "40670": "dna",
    "40685": "shuttle",
    "40701": "churn",
    "40900": "Satellite",
    "40923": "Devnagari-Script",
    "40927": "CIFAR_10",
    "40966": "MiceProtein",
    "40975": "car",
    "40978": "Internet-Advertisements",
    "40979": "mfeat-pixel",
    "40981": "Australian",
    "40982": "steel-plates-fault",
    "40983": "wilt",
    "40984": "segment",
    "40994": "climate-model-simulation-crashes",
    "40996": "Fashion-MNIST",
    "41027": "jungle_chess_2pcs_raw_endgame_complete",
    "41138": "APSFailure",
    "41142": "christine",
    "41143": "jasmine",
    "41146": "sylvine",
    "41150": "MiniBooNE",
    "41156": "ada",
    "41157": "arcene",
    "41159": "guillermo",
    "41161": "riccardo",
    "41162": "kick",
    "41163": "dilbert",
    "41164": "fabert",
    "41165": "robert",
    "41166": "volkert",
    "41168": "jannis",
    "41169": "helena",
    "41278": "okcupid-stem",
}
