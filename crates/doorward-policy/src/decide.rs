//! The decision, and why.

use cedar_policy::{
    Authorizer, Decision as Cedar, PolicyId, Request as Question, RestrictedExpression,
};
use doorward_mcp::uri::{self, Readings};
use serde::{Deserialize, Serialize};

use crate::approval::Hold;
use crate::arguments::{self, Mismatch};
use crate::compile::PolicySet;
use crate::entities::{action_uid, context, principal_uid, target_uid};
use crate::request::{Arguments, Request, TargetKind};
use crate::slices::Slice;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    Allow,
    Deny,
    /// It depends on the arguments, which are unknown ([`Arguments::Any`]).
    Depends,
    /// It is permitted once people have approved it ([`Decision::holds`]).
    Hold,
}

/// The reason, as a stable code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// A policy permits it and none forbids it.
    Permitted,
    /// A policy forbids it.
    Forbidden,
    /// No policy permits it.
    NotPermitted,
    /// An argument's type differs from the one that policies declare.
    ArgumentType,
    /// The API key's scopes do not cover it.
    KeyScope,
    /// A policy could not be evaluated, and might have forbidden it.
    PolicyError,
    /// It depends on the arguments.
    Depends,
    /// Policies hold it until people have approved it.
    ApprovalRequired,
}

impl Code {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Permitted => "permitted",
            Self::Forbidden => "forbidden",
            Self::NotPermitted => "not_permitted",
            Self::ArgumentType => "argument_type",
            Self::KeyScope => "key_scope",
            Self::PolicyError => "policy_error",
            Self::Depends => "depends",
            Self::ApprovalRequired => "approval_required",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    Permit,
    Forbid,
}

/// A policy that decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deciding {
    pub id: String,
    pub effect: Effect,
    /// The policy's `@reason`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    pub verdict: Verdict,
    pub code: Code,
    /// In the order of their ids.
    pub policies: Vec<Deciding>,
    /// What went wrong, for the operator.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<String>,
    /// The approvals required, all of them, by policy in the order of ids. Empty unless the verdict is [`Verdict::Hold`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub holds: Vec<Hold>,
    /// Why a fact counts that is not known, for whoever is denied the call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

impl Decision {
    fn without_policies(code: Code, error: String) -> Self {
        Self { errors: vec![error], ..Self::denied(code) }
    }

    /// A decision made before policies are evaluated.
    pub fn denied(code: Code) -> Self {
        Self::of(Verdict::Deny, code)
    }

    pub fn allowed() -> Self {
        Self::of(Verdict::Allow, Code::Permitted)
    }

    fn of(verdict: Verdict, code: Code) -> Self {
        let (policies, errors, holds) = Default::default();
        Self { verdict, code, policies, errors, holds, note: None }
    }

    /// Whether the call may proceed.
    pub fn is_allowed(&self) -> bool {
        self.verdict == Verdict::Allow
    }

    /// Combines the approvals that two decisions require.
    fn held_by(mut self, other: Self) -> Self {
        if other.verdict != Verdict::Hold || self.verdict == Verdict::Deny {
            return self;
        }
        if self.verdict != Verdict::Hold {
            return other;
        }
        for hold in other.holds {
            if let Err(at) = self.holds.binary_search_by(|one| one.policy.cmp(&hold.policy)) {
                self.holds.insert(at, hold);
            }
        }
        for policy in other.policies {
            if let Err(at) = self.policies.binary_search_by(|one| one.id.cmp(&policy.id)) {
                self.policies.insert(at, policy);
            }
        }
        self
    }

    /// Whether some call could proceed: only then is the target listed.
    pub fn is_possible(&self) -> bool {
        self.verdict != Verdict::Deny
    }

    /// The reason for the caller: the deciding policies' reasons, or the code as text.
    pub fn reason(&self) -> String {
        let reason = self.own_reason();
        match &self.note {
            Some(note) => format!("{reason} ({note})"),
            None => reason,
        }
    }

    fn own_reason(&self) -> String {
        let said: Vec<&str> =
            self.policies.iter().filter_map(|policy| policy.reason.as_deref()).collect();
        if !said.is_empty() && matches!(self.verdict, Verdict::Deny | Verdict::Hold) {
            return said.join("; ");
        }
        match self.code {
            Code::Permitted => "A policy permits it".into(),
            Code::Forbidden => "A policy forbids it".into(),
            Code::NotPermitted => "No policy permits it".into(),
            Code::ArgumentType => match self.errors.first() {
                Some(error) => {
                    format!("An argument does not have the type that policies expect: {error}")
                }
                None => "An argument does not have the type that policies expect".into(),
            },
            Code::KeyScope => "The key does not allow it".into(),
            Code::PolicyError => "A policy could not be evaluated".into(),
            Code::Depends => "It depends on the arguments".into(),
            Code::ApprovalRequired => "It requires approval".into(),
        }
    }
}

impl PolicySet {
    /// Decides. What is not permitted is denied, a policy that forbids comes before all that permit,
    /// and what cannot be evaluated is denied. A URI is judged in every form that a server may read it in.
    pub fn decide(&self, request: &Request) -> Decision {
        let mut decision = self.decide_as_written(request);
        if request.target.kind != TargetKind::Resource || !decision.is_possible() {
            return decision;
        }
        let Some(Readings { others, is_hidden }) = uri::readings(&request.target.name) else {
            return decision;
        };
        let mut otherwise = request.clone();
        for other in others {
            otherwise.target.name = other;
            let judged = self.decide_as_written(&otherwise);
            if !judged.is_possible() && (is_hidden || judged.code != Code::NotPermitted) {
                return judged;
            }
            decision = decision.held_by(judged);
        }
        decision
    }

    fn decide_as_written(&self, request: &Request) -> Decision {
        let slice = self.slices.find(request.action, &request.target);
        let given = match &request.context.arguments {
            Arguments::Any if !slice.arguments.is_empty() => {
                Ok(RestrictedExpression::new_unknown("arguments"))
            }
            // No applicable policy uses an argument.
            Arguments::Any => arguments::values(&slice.arguments, &serde_json::Map::new()),
            Arguments::Known(known) => arguments::values(&slice.arguments, known),
        };
        let given = match given {
            Ok(given) => given,
            Err(Mismatch { path, expected }) => {
                let why = format!("'{path}' must be {expected}");
                return Decision::without_policies(Code::ArgumentType, why);
            }
        };
        let context = context(&request.context, given, &slice.looks);
        let parts = self.known.entities(request).zip(context);
        let Some((made, context)) = parts else {
            return Decision::without_policies(
                Code::PolicyError,
                "no request could be made".into(),
            );
        };
        let question = Question::new(
            principal_uid(&request.principal),
            action_uid(request.action),
            target_uid(&request.target),
            context,
            None,
        );
        let Ok(question) = question else {
            return Decision::without_policies(
                Code::PolicyError,
                "no request could be made".into(),
            );
        };
        let authorizer = Authorizer::new();
        if request.context.arguments == Arguments::Any && !slice.arguments.is_empty() {
            let response =
                authorizer.is_authorized_partial(&question, &slice.policies, &made.entities);
            let errored: Vec<_> = response.definitely_errored().cloned().collect();
            let decided = response.decision();
            let policies: Vec<_> =
                response.must_be_determining().map(|policy| policy.id().clone()).collect();
            let whole = Self::decided(&slice, decided, &policies, &errored, Vec::new());
            return Self::unless_held(&slice, whole, &policies, &errored, |others| {
                let response = authorizer.is_authorized_partial(&question, others, &made.entities);
                (response.decision(), response.definitely_errored().cloned().collect())
            });
        }
        let response = authorizer.is_authorized(&question, &slice.policies, &made.entities);
        let policies: Vec<_> = response.diagnostics().reason().cloned().collect();
        let mut errored = Vec::new();
        let mut errors = Vec::new();
        for error in response.diagnostics().errors() {
            let cedar_policy::AuthorizationError::PolicyEvaluationError(error) = error;
            errored.push(error.policy_id().clone());
            errors.push(error.to_string());
        }
        let whole = Self::decided(&slice, Some(response.decision()), &policies, &errored, errors);
        Self::unless_held(&slice, whole, &policies, &errored, |others| {
            let response = authorizer.is_authorized(&question, others, &made.entities);
            let errors = response.diagnostics().errors().map(|error| {
                let cedar_policy::AuthorizationError::PolicyEvaluationError(error) = error;
                error.policy_id().clone()
            });
            (Some(response.decision()), errors.collect())
        })
    }

    /// A call that only holding policies deny is held. Nothing is evaluated a second time unless
    /// policies that hold have denied it.
    fn unless_held(
        slice: &Slice,
        whole: Decision,
        policies: &[PolicyId],
        errored: &[PolicyId],
        ask: impl FnOnce(&cedar_policy::PolicySet) -> (Option<Cedar>, Vec<PolicyId>),
    ) -> Decision {
        let Some(holding) = slice.holding.as_ref().filter(|_| whole.code == Code::Forbidden) else {
            return whole;
        };
        let Some(holds) = holding.all(policies.iter()) else {
            // A denied caller is not offered an approval that would not help.
            let others = policies.iter().filter(|id| !holding.holds(id));
            return Decision { policies: slice.told(others), ..whole };
        };
        let (others, errored_then) = ask(&holding.others);
        // A policy that cannot be evaluated might have denied it.
        if errored.iter().chain(&errored_then).any(|id| slice.forbids(id)) {
            return Decision { code: Code::PolicyError, ..whole };
        }
        match others {
            Some(Cedar::Allow) => {
                let (verdict, code) = (Verdict::Hold, Code::ApprovalRequired);
                Decision { verdict, code, holds, ..whole }
            }
            Some(Cedar::Deny) => {
                Decision { errors: whole.errors, ..Decision::denied(Code::NotPermitted) }
            }
            None => {
                Decision { errors: whole.errors, ..Decision::of(Verdict::Depends, Code::Depends) }
            }
        }
    }

    fn decided(
        slice: &Slice,
        decision: Option<Cedar>,
        policies: &[PolicyId],
        errored: &[PolicyId],
        errors: Vec<String>,
    ) -> Decision {
        // Cedar skips a policy that fails; one that might have forbidden the call must not be skipped.
        if decision != Some(Cedar::Deny) && errored.iter().any(|id| slice.forbids(id)) {
            let policies = slice.told(errored.iter());
            return Decision { policies, errors, ..Decision::denied(Code::PolicyError) };
        }
        let policies = slice.told(policies.iter());
        let (verdict, code) = match decision {
            None => (Verdict::Depends, Code::Depends),
            Some(Cedar::Allow) => (Verdict::Allow, Code::Permitted),
            Some(Cedar::Deny) if policies.is_empty() => (Verdict::Deny, Code::NotPermitted),
            Some(Cedar::Deny) => (Verdict::Deny, Code::Forbidden),
        };
        Decision { verdict, code, policies, errors, holds: Vec::new(), note: None }
    }
}
