"""Short names of the configuration and the classes they stand for: strings only.

A mapping with `kind:` in the configuration chooses a class; the key above it says from which table.
A new method is one line here. `build.py` imports what a job really names.
"""

SYSTEMS = {
    "lorenz63": "dalib.systems.lorenz:Lorenz63",
    "lorenz96": "dalib.systems.lorenz:Lorenz96",
    "rossler": "dalib.systems.rossler:Rossler",
    "henon": "dalib.systems.henon:Henon",
    "constant_velocity": "dalib.systems.linear:ConstantVelocity",
    "shifted_ring": "dalib.systems.linear:ShiftedRing",
    "clohessy_wiltshire": "dalib.systems.clohessy_wiltshire:ClohessyWiltshire",
    "lotka_volterra": "dalib.systems.lotka_volterra:LotkaVolterra",
    "polynomial_ring": "dalib.systems.polynomial_ring:PolynomialRing",
    "shallow_water": "dalib.systems.shallow_water:ShallowWater",
    "lorenz84": "dalib.systems.panel:Lorenz84",
    "lorenz05_ii": "dalib.systems.lorenz05:Lorenz05II",
    "lorenz05_iii": "dalib.systems.lorenz05:Lorenz05III",
    "two_scale_lorenz96": "dalib.systems.two_scale:TwoScaleLorenz96",
    "truncated_lorenz96": "dalib.systems.two_scale:TruncatedLorenz96",
    "kuramoto_sivashinsky": "dalib.systems.kuramoto_sivashinsky:KuramotoSivashinsky",
    "quasi_geostrophic": "dalib.systems.quasi_geostrophic:QuasiGeostrophic",
    "linear_advection": "dalib.systems.advection:LinearAdvection",
    "ikeda": "dalib.systems.ikeda:Ikeda",
    "chua": "dalib.systems.panel:Chua",
    "chen": "dalib.systems.panel:Chen",
    "thomas": "dalib.systems.panel:Thomas",
    "halvorsen": "dalib.systems.panel:Halvorsen",
    "rucklidge": "dalib.systems.panel:Rucklidge",
    "sprott_b": "dalib.systems.panel:SprottB",
    "dadras": "dalib.systems.panel:Dadras",
    "aizawa": "dalib.systems.panel:Aizawa",
    "hyper_rossler": "dalib.systems.panel:HyperRossler",
    "harmonic": "dalib.systems.mechanics:Harmonic",
    "pendulum": "dalib.systems.mechanics:Pendulum",
    "double_pendulum": "dalib.systems.mechanics:DoublePendulum",
    "kepler": "dalib.systems.mechanics:Kepler",
    "duffing": "dalib.systems.mechanics:Duffing",
    "van_der_pol": "dalib.systems.mechanics:VanDerPol",
    "fitzhugh_nagumo": "dalib.systems.mechanics:FitzHughNagumo",
    "double_well": "dalib.systems.mechanics:DoubleWell",
}

STARTS = {
    "bump": "dalib.systems.shallow_water:Bump",
    "season": "dalib.cases.weather:Season",
}

INTEGRATORS = {
    "rk4": "dalib.integrate:RK4",
    "euler_maruyama": "dalib.integrate:EulerMaruyama",
    "iterate": "dalib.integrate:Iterate",
    "exact": "dalib.integrate:Exact",
    "etdrk4": "dalib.integrate:ETDRK4",
}

OPERATORS = {
    "identity": "dalib.observe:Identity",
    "linear": "dalib.observe:Linear",
    "subset": "dalib.observe:Subset",
    "moving_subset": "dalib.observe:MovingSubset",
    "arctan": "dalib.observe:Arctan",
    "every_kth": "dalib.observe:EveryKth",
    "arctan_every_kth": "dalib.observe:ArctanEveryKth",
}

FILTERS = {
    "climatology": "dalib.filters.variational:Climatology",
    "oi": "dalib.filters.variational:OptimalInterpolation",
    "var3d": "dalib.filters.variational:Var3D",
    "fixed_gain": "dalib.filters.variational:FixedGain",
    "kalman": "dalib.filters.kalman:Kalman",
    "ekf": "dalib.filters.ekf:EKF",
    "enkf": "dalib.filters.enkf:EnKF",
    "denkf": "dalib.filters.enkf:DEnKF",
    "etkf": "dalib.filters.etkf:ETKF",
    "letkf": "dalib.filters.letkf:LETKF",
    "ens3dvar": "dalib.filters.hybrid:Ens3DVar",
    "localised_enkf": "dalib.filters.local_enkf:LocalEnKF",
    "particle": "dalib.filters.particle:BootstrapParticle",
    "free_run": "dalib.filters.free:FreeRun",
    "local_letkf": "dalib.filters.letkf:LETKF",
    "local_enkf": "dalib.filters.local_enkf:LocalEnKF",
    "ensf": "dalib.filters.ensf:EnSF",
    "deep_kalman": "dalib.filters.deep_kalman:DeepKalmanFilter",
    "deep_kalman_smoother": "dalib.filters.deep_kalman:DeepKalmanSmoother",
    "latent": "dalib.filters.latent:LatentFilter",
    "direct_decode": "dalib.filters.latent:DirectDecode",
    "ukf": "dalib.filters.ukf:UKF",
    "cubature": "dalib.filters.ukf:CubatureKalman",
    "iterated_ekf": "dalib.filters.ekf:IteratedEKF",
    "square_root_kalman": "dalib.filters.square_root:SquareRootKalman",
    "serial_ensrf": "dalib.filters.serial:SerialEnSRF",
    "serial_enkf": "dalib.filters.serial:SerialEnKF",
    "rank_histogram": "dalib.filters.rank_histogram:RankHistogram",
    "enkf_n": "dalib.filters.finite_size:EnKFN",
    "ienks": "dalib.filters.iterative:IEnKS",
    "var4d": "dalib.filters.var4d:Var4D",
    "likelihood_particle": "dalib.filters.particle:LikelihoodParticle",
    "optimal_particle": "dalib.filters.particle_proposals:OptimalParticle",
    "auxiliary_particle": "dalib.filters.particle_proposals:AuxiliaryParticle",
    "local_particle": "dalib.filters.particle_local:LocalParticle",
    "enff": "dalib.filters.enff:EnFF",
    "cg_enkf": "dalib.filters.gaussian_gain:CGEnKF",
    "ns_enkf": "dalib.filters.gaussian_gain:NSEnKF",
    "hybrid_gain": "dalib.filters.hybrid_gain:HybridGain",
}

SMOOTHERS = {
    "rts": "dalib.smoothers.rts:RTS",
    "extended_rts": "dalib.smoothers.rts:ExtendedRTS",
    "unscented_rts": "dalib.smoothers.rts:UnscentedRTS",
    "cubature_rts": "dalib.smoothers.rts:CubatureRTS",
    "parallel_rts": "dalib.smoothers.parallel:ParallelRTS",
    "enks": "dalib.smoothers.enks:EnKS",
    "stochastic_enks": "dalib.smoothers.enks:StochasticEnKS",
    "enrts": "dalib.smoothers.enrts:EnRTS",
    "stochastic_enrts": "dalib.smoothers.enrts:StochasticEnRTS",
    "backward_simulation": "dalib.smoothers.backward_simulation:BackwardSimulation",
    "strong_var4d": "dalib.smoothers.var4d:StrongVar4D",
    "weak_var4d": "dalib.smoothers.var4d:WeakVar4D",
    "envar4d": "dalib.smoothers.envar4d:EnVar4D",
}

CODECS = {
    "bins": "dalib.codecs.bins:Bins",
    "pca": "dalib.codecs.pca:PCA",
    "vae": "dalib.experiments.codecs:CoupledVAECodec",
    "linear": "dalib.experiments.codecs:PCACodec",
}

DYNAMICS = {
    "afno": "dalib.experiments.afno:AFNOForecast",
}

LOCALISATIONS = {
    "line": "dalib.localise:Line",
    "ring": "dalib.localise:Ring",
    "grid": "dalib.localise:Grid",
    "sphere": "dalib.localise:Sphere",
}

NETWORKS = {
    "deep_kalman": "dalib.nets.dkf:DeepKalman",
    "score": "dalib.nets.score:Score",
    "gpt": "dalib.nets.gpt:GPT",
    "coupled_vae": "dalib.nets.vae:CoupledVAE",
    "afno": "dalib.nets.afno:AFNO",
}

SAMPLERS = {
    "annealed_langevin": "dalib.diffusion:AnnealedLangevin",
    "reverse_sde": "dalib.diffusion:ReverseSDE",
    "probability_flow": "dalib.diffusion:ProbabilityFlow",
}

FORECASTERS = {
    "analogue": "dalib.forecasters.analogue:Analogue",
    "climatology": "dalib.forecasters.climatology:Climatology",
    "deep_kalman": "dalib.estimators.deep_kalman:DeepKalman",
    "edmd": "dalib.forecasters.koopman:EDMD",
    "equations": "dalib.forecasters.equations:Equations",
    "esn": "dalib.forecasters.esn:ESN",
    "gpt": "dalib.forecasters.gpt:GPT2",
    "hippo": "dalib.forecasters.hippo:HiPPOProphecy",
    "lem": "dalib.forecasters.lem:LEM",
    "lstm": "dalib.forecasters.lstm:LSTM",
    "markov": "dalib.forecasters.markov:Markov",
    "nbeats": "dalib.forecasters.direct:NBEATS",
    "neural_ode": "dalib.forecasters.neural_ode:NeuralODE",
    "nvar": "dalib.forecasters.nvar:NVAR",
    "parrot": "dalib.forecasters.parrot:ContextParrot",
    "persistence": "dalib.forecasters.persistence:Persistence",
    "plrnn": "dalib.forecasters.plrnn:PLRNN",
    "tide": "dalib.forecasters.direct:TiDE",
    "tokenised": "dalib.forecasters.tokens:TokenForecaster",
}

ESTIMATORS = {  # of states
    **FILTERS,  # by one adapter
    "deep_kalman": "dalib.estimators.deep_kalman:DeepKalman",
}

GENERATORS = {
    "gaussian": "dalib.generators.gaussian:GaussianGenerator",
    "score_diffusion": "dalib.generators.score:ScoreDiffusion",
}

MAPS = {
    "orbit": "dalib.maps.orbit:OrbitMap",
    "ring": "dalib.maps.ring:RingMap",
    "species": "dalib.maps.species:SpeciesMap",
}

SCHEDULES = {
    "constant": "dalib.learn.schedule:Constant",
    "decay": "dalib.learn.schedule:Decay",
    "plateau": "dalib.learn.schedule:Plateau",
}

METRICS = {
    "rmse": "dalib.metrics.pointwise:RMSE",
    "mae": "dalib.metrics.pointwise:MAE",
    "mse_db": "dalib.metrics.pointwise:MSEdB",
    "nrmse": "dalib.metrics.pointwise:NRMSE",
    "smape": "dalib.metrics.pointwise:SMAPE",
    "mase": "dalib.metrics.pointwise:MASE",
    "spread": "dalib.metrics.pointwise:Spread",
    "error_norm": "dalib.metrics.pointwise:ErrorNorm",
    "climatological_std": "dalib.metrics.pointwise:ClimatologicalStd",
    "vpt": "dalib.metrics.predictability:VPT",
    "vpt_censored": "dalib.metrics.predictability:VPTCensored",
    "diverged": "dalib.metrics.predictability:Diverged",
    "crps": "dalib.metrics.probabilistic:CRPS",
    "coverage": "dalib.metrics.probabilistic:Coverage",
    "calibrated_coverage": "dalib.metrics.probabilistic:CalibratedCoverage",
    "rank_counts": "dalib.metrics.probabilistic:RankCounts",
    "d_stsp": "dalib.metrics.climate:DStsp",
    "d_h": "dalib.metrics.climate:DH",
    "correlation_dimension": "dalib.metrics.climate:CorrelationDimension",
    "wasserstein": "dalib.metrics.distributions:Wasserstein",
    "sliced_wasserstein": "dalib.metrics.distributions:SlicedWasserstein",
    "nearest_distance": "dalib.metrics.distributions:NearestDistance",
    "lyapunov_error": "dalib.metrics.dynamical:LyapunovError",
    "lobe_changes": "dalib.metrics.dynamical:LobeChanges",
    "lag_correlation": "dalib.metrics.dynamical:LagCorrelation",
    "weighted_rmse": "dalib.metrics.sphere:WeightedRMSE",
    "relative_rmse": "dalib.metrics.sphere:RelativeRMSE",
    "anomaly_correlation": "dalib.metrics.sphere:AnomalyCorrelation",
    "parameters": "dalib.metrics.cost:Parameters",
    "fit_time": "dalib.metrics.cost:FitTime",
    "forecast_time": "dalib.metrics.cost:ForecastTime",
}

MEASURES = {
    "median": "dalib.metrics.measures:Median",
    "ratio": "dalib.metrics.measures:Ratio",
    "median_ratio": "dalib.metrics.measures:MedianRatio",
    "difference": "dalib.metrics.measures:Difference",
    "largest": "dalib.metrics.measures:Largest",
    "smallest": "dalib.metrics.measures:Smallest",
    "growth": "dalib.metrics.measures:Growth",
    "factor": "dalib.metrics.measures:Factor",
    "share_within": "dalib.metrics.measures:ShareWithin",
    "largest_deviation": "dalib.metrics.measures:LargestDeviation",
    "count": "dalib.metrics.measures:Count",
    "largest_ratio": "dalib.metrics.measures:LargestRatio",
    "mean_ratio": "dalib.metrics.measures:MeanRatio",
    "share_overlapping": "dalib.metrics.measures:ShareOverlapping",
    "highest_exceeding": "dalib.metrics.measures:HighestExceeding",
    "spread_ratio": "dalib.metrics.measures:SpreadRatio",
    "linear_deviation": "dalib.metrics.measures:LinearDeviation",
}

REGISTRIES = {
    "system": SYSTEMS,
    "start": STARTS,
    "integrator": INTEGRATORS,
    "operator": OPERATORS,
    "filter": FILTERS,
    "smoother": SMOOTHERS,
    "codec": CODECS,
    "dynamics": DYNAMICS,
    "localisation": LOCALISATIONS,
    "network": NETWORKS,
    "sampler": SAMPLERS,
    "forecaster": FORECASTERS,
    "estimator": ESTIMATORS,
    "generator": GENERATORS,
    "map": MAPS,
    "schedule": SCHEDULES,
    "metric": METRICS,
    "measure": MEASURES,
}
