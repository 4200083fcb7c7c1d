"""What a generator plays against: two critics without a bound, two with one."""

import pytest
import torch

from wdist.bounds.certificate import certify
from wdist.data.standardisation import Standardisation
from wdist.errors import CertificateError
from wdist.gan.critics import PLANS, make_opponent
from wdist.gan.settings import CRITICS

CPU = torch.device("cpu")
AS_IT_IS = Standardisation(shift=torch.zeros(64, dtype=torch.float64), spread=1.0)


@pytest.mark.parametrize("name", CRITICS)
def test_each_values_images_and_is_certified_if_it_says_so(name, small, generator):
    opponent = make_opponent(small(critic=name), (8, 8), CPU)
    assert opponent.critic(torch.randn(5, 64, generator=generator)).shape == (5,)
    assert opponent.certified is PLANS[name].certified is name.startswith("groupsort")
    if opponent.certified:
        opponent.critic.constrain_(tightly=True)
        assert certify(opponent.critic.freeze(AS_IT_IS)).lipschitz_bound <= 1 + 1e-9
    else:
        with pytest.raises(CertificateError, match="groupsort-conv"):
            opponent.critic.freeze(AS_IT_IS)


@pytest.mark.parametrize("shape", [(8, 8), (3, 12, 12), (12, 12, 3)], ids=str)
def test_weight_clipping_bounds_every_parameter(shape, small, generator):
    critic = make_opponent(small(critic="weight-clipping"), shape, CPU).critic
    with torch.no_grad():
        for parameter in critic.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    critic.constrain_()
    assert max(float(parameter.detach().abs().max()) for parameter in critic.parameters()) <= 0.01
    assert critic(torch.randn(2, critic.image.dim, generator=generator)).shape == (2,)


def test_only_the_gradient_penalty_is_penalised(small, generator):
    priced = {name: make_opponent(small(critic=name), (8, 8), CPU).price(generator) is not None for name in CRITICS}
    assert [name for name, price in priced.items() if price] == ["gradient-penalty"]
