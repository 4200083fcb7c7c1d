"""All critics of a question on one pair: each with the first seed, then each with all further ones."""

from collections.abc import Iterator
from dataclasses import replace

from wdist.errors import CertificateError, TrainingDiverged, WdistError
from wdist.estimation.evaluation import Statement, run_trial, train_ahead
from wdist.estimation.question import Entrant, Question
from wdist.estimation.result import CriticResult, Repeats
from wdist.estimation.task import Task


def run_trials(question: Question, task: Task, statement: Statement) -> "Trials":
    """Trains and judges everything, or as much as there was time for when Ctrl-C came.

    Arguments:
        question: what is asked of the pair.
        task: of the pair, with the first seed; settings are those of each entrant.
        statement: how population bounds are stated.

    Raises:
        WdistError: the one critic that was asked for diverged, or all of them did.
        KeyboardInterrupt: before anything was proved.
    """
    trials = Trials(question, task, statement)
    try:
        trials.first_seed()
        if not trials.interrupted:
            trials.further_seeds()
    except KeyboardInterrupt:
        if not trials.proved:
            raise
        trials.interrupted = True
    if not trials.proved and trials.failure is not None:
        raise trials.failure
    return trials


class Trials:
    """What the trainings came to, seed by seed."""

    def __init__(self, question: Question, task: Task, statement: Statement) -> None:
        self._question, self._task, self._statement = question, task, statement
        self._seeds = range(question.seed, question.seed + question.repeats)
        self._by_seed: dict[int, dict[int, CriticResult]] = {seed: {} for seed in self._seeds}
        self.failures: list[str] = []
        """Critics that are left out, and why."""
        self.failure: WdistError | None = None
        self.interrupted = False

    @property
    def proved(self) -> bool:
        """There is a result."""
        return bool(self._by_seed[self._seeds[0]])

    def results(self) -> Iterator[CriticResult]:
        """Those of the first seed, with their repeats."""
        for position, result in self._by_seed[self._seeds[0]].items():
            done = {seed: found[position] for seed, found in self._by_seed.items() if position in found}
            repeats = Repeats(
                seeds=tuple(done),
                estimates=tuple(each.population.estimate for each in done.values()),
                lowers=tuple(each.samples.lower for each in done.values()),
            )
            yield replace(result, repeats=repeats) if len(done) > 1 else result

    def first_seed(self) -> None:
        """Each critic in turn; a critic that diverges is left out, unless the question is about it alone."""
        for number, entrant in enumerate(self._question.entrants):
            if not self._is_main(number, entrant):
                self._run(number, self._of(entrant, self._seeds[0], position=number + 1))
            if self.interrupted:
                return

    def further_seeds(self) -> None:
        """Each critic with all of them, side by side where that is possible.

        The first seed has run alone, and so has come to the digits that it comes to without repeats.
        """
        position = len(self._question.entrants) + 1
        for number, entrant in enumerate(self._question.entrants):
            if not entrant.trained or not self._seeds[1:]:
                continue
            tasks = [self._of(entrant, seed, position + i) for i, seed in enumerate(self._seeds[1:])]
            position += len(tasks)
            if self._is_main(number, entrant):
                continue
            train_ahead(entrant.recipe, tasks)
            self.interrupted = tasks[0].interrupted
            for task in tasks:
                if self.interrupted:
                    return
                self._run(number, task)

    def _is_main(self, number: int, entrant: Entrant) -> bool:
        """The main critic chose the very kind."""
        main = self._by_seed[self._seeds[0]].get(0)
        return number > 0 and main is not None and main.name == entrant.recipe.name

    def _of(self, entrant: Entrant, seed: int, position: int) -> Task:
        return replace(self._task, settings=entrant.settings, seed=seed, position=position)

    def _run(self, number: int, task: Task) -> None:
        recipe, first = self._question.entrants[number].recipe, task.seed == self._seeds[0]
        try:
            result = run_trial(recipe, task, statement=self._statement)
        except (TrainingDiverged, CertificateError) as diverged:
            if first and number == 0 and not self._question.comparison:
                raise
            self.failure = diverged
            self.failures.append(f"{recipe.name} with seed {task.seed} is left out: {diverged}")
            return
        # Of a repeat that was cut short nothing can be said but that it was cut short.
        if first or not result.interrupted:
            self._by_seed[task.seed][number] = result
        self.interrupted = result.interrupted
