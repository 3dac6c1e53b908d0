"""Distils: asks, scores, trains, compares, and publishes what is better.

OUTPUT.work/   teacher.jsonl, stock.jsonl   scores (rerank/distill/saved_scores.py)
               training                     the state of the training
               model/                       the student, until it is published
OUTPUT/        the student, only if it is offered
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal

from winnow.api.assemble import Services, assemble
from winnow.api.assemble_search import closing_pools
from winnow.api.cli.distill.questions import read_queries, title_queries
from winnow.api.cli.progress import CountProgress
from winnow.api.cli.terminal import Terminal
from winnow.api.collections.open_collections import OpenCollection
from winnow.api.diagnostics.probe import Probed, likely_cause, probe_reranker
from winnow.api.formatting import amount, counted, duration
from winnow.api.library.instructions import AppliedInstruction, NamedInstruction
from winnow.api.model_loading import LoadedReranker, load_reranker
from winnow.api.reranker_choice import RerankerForm, find_reranker, form_of, template_of
from winnow.api.setting_values import FurtherReranker
from winnow.api.settings import Settings
from winnow.indexer.readers.beir import read_qrels_file
from winnow.rerank.distill.fitted_order import Example, fit_mixture, order_with
from winnow.rerank.distill.model_folder import settings_with, write_model, write_settings
from winnow.rerank.distill.saved_scores import SavedScores, ScoredBy
from winnow.rerank.distill.scoring import Parted, Question, Scoring, is_scored, split
from winnow.rerank.distill.training import Training, known_lessons, load_prompts, load_trainable, make_lesson
from winnow.rerank.distill.verdict import Contestant, Grades, Verdict, judge
from winnow.retrieval.concurrency.tasks import gather_or_raise
from winnow.retrieval.document_fields import with_fields
from winnow.retrieval.errors import InvalidRequest, ModelUnusable
from winnow.retrieval.files.durable import keep_private, make_folder, remove
from winnow.retrieval.model.folder import ModelFolder
from winnow.retrieval.model.known_pairs import missed_languages
from winnow.retrieval.records import RecallMode
from winnow.retrieval.search.recall import RecallRequest
from winnow.retrieval.tenancy import TenantName

SCORING_SHARE: Final = 0.6  # of --max-seconds, at most; the rest is for training
AT_ONCE: Final = 4  # queries that a server scores at the same time
QUERIES_MIN: Final = 40  # of which 12 are held back; with fewer no difference could be trusted


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to distil."""

    tenant: TenantName
    collection: str  # of this tenant
    teacher: FurtherReranker
    student: str  # the model to start from
    output: Path
    instruction: str | NamedInstruction | None
    queries: Path | None  # None: titles
    qrels: Path | None
    queries_max: int
    candidates: int | None  # None: the service's default
    steps: int | None
    seconds_max: float
    seed: int

    @property
    def work(self) -> Path:
        return self.output.with_name(f"{self.output.name}.work")

    @property
    def model(self) -> Path:
        """The student before it is published."""
        return self.work / "model"

    @property
    def name(self) -> str:
        """Of the student, in answers."""
        return self.output.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Distilled:
    """What came of it."""

    plan: Plan
    instruction: AppliedInstruction
    teacher: str
    made_from: str
    source: Literal["file", "titles"]
    parted: Parted  # the queries
    candidates: int
    scored_pairs: int
    scoring_seconds: float
    training_seconds: float
    steps: int
    verdict: Verdict


Confirm = Callable[[str], None]  # asks whether to go on at this cost; raises to stop


@dataclass(frozen=True, slots=True, kw_only=True)
class _Judges:
    """The teacher, and the model that the student starts from."""

    teacher: Scoring
    stock: Scoring
    teacher_name: str
    folder: ModelFolder  # of the stock model
    known_to_teacher: Sequence[Probed]  # the known pairs
    known_to_stock: Sequence[Probed]
    is_served: bool  # the teacher runs on servers


class Distillation:
    """One run of the command."""

    def __init__(self, terminal: Terminal, settings: Settings, plan: Plan, confirm: Confirm) -> None:
        self._terminal = terminal
        self._settings = settings
        self._plan = plan
        self._confirm = confirm
        self._scored_pairs = 0
        self._began = time.monotonic()
        self._scoring_seconds = 0.0

    async def run(self) -> Distilled:
        """Raises what loading models, recall and reranking raise, `InvalidRequest` and `WriteFailed`."""
        plan = self._plan
        folder = self._student()
        grades = {} if plan.qrels is None else read_qrels_file(plan.qrels)
        texts = self._read_queries()
        parts = assemble(self._settings, judged=False)
        opened = parts.collections.get(plan.tenant, plan.collection)
        instruction = parts.disk.catalog.instructions.applied(plan.tenant, plan.instruction, opened.collection)
        teacher = load_reranker(self._only(plan.teacher))
        make_folder(plan.work)
        keep_private(plan.work)
        async with closing_pools(*parts.pools, teacher.pool):
            judges = await self._judges(teacher, folder, instruction)
            questions = await self._find_candidates(
                texts or self._take_titles(opened), self._width(parts), opened, instruction
            )
            await self._score(questions, judges)
        scored = [each for each in questions if is_scored(each, judges.teacher)]
        if len(scored) < QUERIES_MIN:
            raise InvalidRequest(
                f"{amount(len(scored))} scored queries of at least {QUERIES_MIN}; raise --max-seconds and run the same "
                "command again: nothing is scored twice"
            )
        with CountProgress(self._terminal, "scoring by the stock model", total=len(scored)) as progress:
            for question in scored:
                await judges.stock.score(question)
                progress.advance()
        parted = split(scored)
        training = self._train(parted.training, judges, instruction)
        verdict = await self._compare(parted, judges, instruction, grades)
        return Distilled(
            plan=plan,
            instruction=instruction,
            teacher=judges.teacher_name,
            made_from=folder.name,
            source="titles" if plan.queries is None else "file",
            parted=parted,
            candidates=self._width(parts),
            scored_pairs=self._scored_pairs,
            scoring_seconds=self._scoring_seconds,
            training_seconds=training.seconds,
            steps=training.step,
            verdict=verdict,
        )

    def _only(self, model: FurtherReranker) -> Settings:
        """The settings that load this reranker alone."""
        return replace(self._settings, rerank_model=model.model, rerank_url=model.urls, rerank_also=())

    def _student(self) -> ModelFolder:
        """Find the model to start from. Raises `ModelUnusable`."""
        settings = self._only(FurtherReranker(model=self._plan.student, urls=()))
        folder = find_reranker(settings)
        is_asked = form_of(folder, template_of(settings, folder)) is RerankerForm.QWEN3
        if not is_asked or not folder.architecture.endswith("ForCausalLM"):
            raise ModelUnusable(
                f"{self._plan.student}: only causal models that are asked like Qwen3-Reranker can be trained"
            )
        return folder

    async def _judges(self, teacher: LoadedReranker, folder: ModelFolder, instruction: AppliedInstruction) -> _Judges:
        """Raises `ModelUnusable` if the teacher knows the known pairs of no language."""
        plan = self._plan
        known = await probe_reranker(teacher.reranker)
        cause = likely_cause(known)
        if cause and not missed_languages(known):
            raise ModelUnusable(cause)
        if cause:
            self._terminal.warn(cause)
        student = FurtherReranker(model=plan.student, urls=())
        stock = load_reranker(self._only(student))
        return _Judges(
            teacher=self._scoring(teacher, plan.teacher, "teacher.jsonl", instruction),
            stock=self._scoring(stock, student, "stock.jsonl", instruction),
            teacher_name=teacher.reranker.name,
            folder=folder,
            known_to_teacher=known,
            known_to_stock=await probe_reranker(stock.reranker),
            is_served=teacher.pool is not None,
        )

    def _scoring(
        self, loaded: LoadedReranker, model: FurtherReranker, file: str, instruction: AppliedInstruction
    ) -> Scoring:
        settings = self._only(model)
        folder = find_reranker(settings)
        read = f"{template_of(settings, folder)!r} {instruction.text}"
        scored_by = ScoredBy(
            name=loaded.reranker.name,
            revision=folder.revision,
            prompt=hashlib.sha256(read.encode("utf-8", "surrogatepass")).hexdigest(),
        )
        saved = SavedScores.open(self._plan.work / file, scored_by)
        return Scoring(loaded.reranker, saved, instruction=instruction.text, tenant=self._plan.tenant)

    def _width(self, parts: Services) -> int:
        return self._plan.candidates or parts.candidates

    def _read_queries(self) -> Mapping[str, str]:
        """Read the file of queries, if there is one, before any model is loaded. Raises `InvalidRequest`."""
        plan = self._plan
        if plan.queries is None:
            return {}
        return _enough(read_queries(plan.queries, seed=plan.seed, count=plan.queries_max))

    def _take_titles(self, opened: OpenCollection) -> Mapping[str, str]:
        """Raises `InvalidRequest`."""
        plan = self._plan
        self._terminal.say("No --queries: the titles of documents are the queries. Real ones may differ from them.")
        return _enough(title_queries(opened.store.snapshot(), seed=plan.seed, count=plan.queries_max))

    async def _find_candidates(
        self, texts: Mapping[str, str], width: int, opened: OpenCollection, instruction: AppliedInstruction
    ) -> list[Question]:
        """Leave out queries with less than two candidates: they have no order."""
        questions = []
        with CountProgress(self._terminal, "finding candidates", total=len(texts)) as progress:
            for query_id, text in texts.items():
                recalled = await opened.recall.find(
                    RecallRequest(
                        query=text,
                        width=width,
                        task=instruction.embedding_task,
                        mode=RecallMode(self._settings.recall),
                        falls_back_to_dense=True,
                    )
                )
                candidates = with_fields(recalled.candidates, opened.collection.rerank_fields)
                questions.append(Question(id=query_id, text=text, candidates=candidates))
                progress.advance()
        return [each for each in questions if len(each.candidates) > 1]

    async def _score(self, questions: Sequence[Question], judges: _Judges) -> None:
        """Have the teacher score: first a few, which tell the cost; the others once that is confirmed."""
        self._began = began = time.monotonic()
        waiting = [each for each in questions if judges.teacher.missing(each)]
        at_once = AT_ONCE if judges.is_served else 1
        sample, rest = waiting[:at_once], waiting[at_once:]
        await self._score_together(sample, judges.teacher)
        measured = time.monotonic() - began
        left = sum(len(judges.teacher.missing(each)) for each in rest)
        seconds = left * measured / max(1, self._scored_pairs)
        self._terminal.say(
            f"{counted(left, 'pair')} for {judges.teacher_name} to score, about {duration(seconds)} (measured on "
            f"{counted(self._scored_pairs, 'pair')}); scoring and training together end after "
            f"{duration(self._plan.seconds_max)}"
        )
        self._confirm("Go on?")
        self._began = began = time.monotonic()
        with CountProgress(self._terminal, f"scoring by {judges.teacher_name}", total=len(rest)) as progress:
            for start in range(0, len(rest), at_once):
                if time.monotonic() - began > SCORING_SHARE * self._plan.seconds_max:
                    self._terminal.warn(
                        f"Time for scoring is used up: {amount(len(rest) - start)} queries are left out."
                    )
                    break
                await self._score_together(rest[start : start + at_once], judges.teacher)
                progress.advance(len(rest[start : start + at_once]))
        self._scoring_seconds = measured + time.monotonic() - began

    async def _score_together(self, questions: Sequence[Question], teacher: Scoring) -> None:
        self._scored_pairs += sum(len(teacher.missing(each)) for each in questions)
        await gather_or_raise(teacher.score(each) for each in questions)

    def _train(self, questions: Sequence[Question], judges: _Judges, instruction: AppliedInstruction) -> Training:
        """Train the student, and leave it in the work folder. Blocks."""
        plan = self._plan
        model = load_trainable(judges.folder, device=self._settings.device)
        prompts = load_prompts(judges.folder)
        lessons = [
            make_lesson(prompts, each, instruction=instruction.text, teacher=judges.teacher, before=judges.stock)
            for each in questions
        ]
        always = known_lessons(prompts, judges.known_to_teacher, judges.known_to_stock)
        left = max(1.0, plan.seconds_max - (time.monotonic() - self._began))
        training = Training.plan(
            model, lessons, plan.work / "training", always=always, seed=plan.seed, steps=plan.steps, seconds=left
        )
        if training.step:
            self._terminal.say(f"Training goes on after step {training.step} of {training.steps}.")
        with CountProgress(self._terminal, "training", total=training.steps - training.step) as progress:
            training.run(seconds_max=left, advanced=progress.advance)
        if training.step < training.steps:
            self._terminal.warn(f"Time for training is used up: {training.step} of {training.steps} steps were done.")
        write_model(model, judges.folder, plan.model, name=plan.name)
        return training

    async def _compare(
        self, parted: Parted, judges: _Judges, instruction: AppliedInstruction, grades: Grades
    ) -> Verdict:
        """Fit the student's order, and compare it with the stock model's on the held-back queries."""
        plan, text = self._plan, instruction.text
        remove(plan.work / "student.jsonl")
        model = FurtherReranker(model=str(plan.model), urls=())
        student = self._scoring(load_reranker(self._only(model)), model, "student.jsonl", instruction)
        asked = [*parted.development, *parted.held_back]
        with CountProgress(self._terminal, "scoring by the student", total=len(asked)) as progress:
            for question in asked:
                await student.score(question)
                progress.advance()
        fitted = fit_mixture([_example(each, student, judges.teacher) for each in parted.development])
        order = order_with(fitted, judges.folder.settings.order, text)
        answers = await probe_reranker(
            load_reranker(replace(self._only(model), device="cpu", dtype="float32")).reranker  # as known answers are
        )
        known = [(each.relevant, each.irrelevant) for each in answers]
        write_settings(plan.model, settings_with(plan.model, order=order, known_answers=known))
        return judge(
            parted.held_back,
            Contestant(
                name="stock",
                examples=[_example(each, judges.stock, judges.teacher) for each in parted.held_back],
                order=judges.folder.settings.order,
            ),
            Contestant(
                name="student",
                examples=[_example(each, student, judges.teacher) for each in parted.held_back],
                order=order,
            ),
            instruction=text,
            grades=grades,
            seed=plan.seed,
            separates_known_pairs=all(each.is_separated for each in answers),
        )


def _enough(texts: Mapping[str, str]) -> Mapping[str, str]:
    if len(texts) < QUERIES_MIN:
        raise InvalidRequest(f"{amount(len(texts))} different queries; distilling needs at least {QUERIES_MIN}")
    return texts


def _example(question: Question, scoring: Scoring, teacher: Scoring) -> Example:
    standings = [each.standing for each in question.candidates if each.standing is not None]
    return Example(
        standings=tuple(standings) if len(standings) == len(question.candidates) else None,
        logits=tuple(scoring.logits(question)),
        teacher=tuple(teacher.logits(question)),
    )
