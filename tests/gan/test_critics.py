"""Critics of a generator: two without a certificate, two with one."""

import pytest
import torch

from wdist.bounds.certificate import certify
from wdist.data.standardisation import Standardisation
from wdist.errors import CertificateError
from wdist.gan.critics import make_critic
from wdist.gan.settings import CRITICS
from wdist.training.penalties import PENALTIES

CPU = torch.device("cpu")
AS_IT_IS = Standardisation(shift=torch.zeros(64, dtype=torch.float64), spread=1.0)


@pytest.mark.parametrize("name", CRITICS)
def test_each_values_images_and_is_certified_if_it_says_so(name, small, generator):
    critic = make_critic(small(critic=name), (8, 8), CPU)
    assert critic.network(torch.randn(5, 64, generator=generator)).shape == (5,)
    assert critic.certified is CRITICS[name].certified is name.startswith("groupsort")
    if critic.certified:
        critic.network.constrain_(tightly=True)
        assert certify(critic.network.freeze(AS_IT_IS)).lipschitz_bound <= 1 + 1e-9
    else:
        with pytest.raises(CertificateError, match="groupsort-conv"):
            critic.network.freeze(AS_IT_IS)


@pytest.mark.parametrize("shape", [(8, 8), (3, 12, 12), (12, 12, 3)], ids=str)
def test_weight_clipping_bounds_every_parameter(shape, small, generator):
    critic = make_critic(small(critic="weight-clipping"), shape, CPU).network
    with torch.no_grad():
        for parameter in critic.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    critic.constrain_()
    assert max(float(parameter.detach().abs().max()) for parameter in critic.parameters()) <= 0.01
    assert critic(torch.randn(2, critic.image.dim, generator=generator)).shape == (2,)


def test_critics_with_the_name_of_a_penalty_have_it(small):
    for name in CRITICS:
        penalty = "gradient-penalty" if name == "gradient-penalty-maxmin" else name
        assert make_critic(small(critic=name), (8, 8), CPU).penalty == (penalty if penalty in PENALTIES else None)
    assert {"gradient-penalty", "lipschitz-penalty", "adversarial-lipschitz", "unconstrained"} <= CRITICS.keys() & PENALTIES.keys()
